"""The sources of the compiled module."""

from calig_fast.ops.backend.sources import checkout, digest


def tree(root):
    (root / "csrc" / "op").mkdir(parents=True)
    (root / "CMakeLists.txt").write_text("build")
    (root / "csrc" / "module.cpp").write_text("module")
    (root / "csrc" / "op" / "op.h").write_text("op")
    return root


def test_a_checkout_has_the_sources(tmp_path):
    assert not checkout(tmp_path)
    assert checkout(tree(tmp_path))


def test_the_digest_differs_where_a_source_a_name_or_the_build_does(tmp_path):
    root = tree(tmp_path)
    seen = [digest(root)]
    assert seen == [digest(root)]
    assert len(seen[0]) == 16
    (root / "csrc" / "op" / "op.h").write_text("another")
    seen.append(digest(root))
    (root / "csrc" / "op" / "op.h").rename(root / "csrc" / "op" / "other.h")
    seen.append(digest(root))
    (root / "CMakeLists.txt").write_text("another build")
    seen.append(digest(root))
    assert len(set(seen)) == len(seen)


def test_the_digest_leaves_out_the_emulator_s_headers(tmp_path):
    root = tree(tmp_path)
    before = digest(root)
    (root / "csrc" / "op" / "op_flat.h").write_text("flat")
    assert digest(root) == before
