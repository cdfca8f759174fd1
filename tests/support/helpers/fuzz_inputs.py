"""Inputs of every container, kind of number and shape, right ones and others."""

import collections
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from helpers.fuzz_objects import ARRAYS, CONTAINERS, TENSORS, Column
from helpers.fuzz_values import Values, plain
from helpers.tiny_models import ids, pixels


def _ids() -> Tensor:
    return ids(5)["input_ids"]


def _with(**more: Any) -> dict[str, Any]:
    return {**ids(6, 4), **more}


class Encoding(dict[str, Any]):
    """A tokenizer's output, with what is read beside the ids."""

    encodings = None

    def convert_to_tensors(self, kind: str) -> Any:
        return self


def _nested(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float32, layout: Any = torch.strided) -> Tensor:
    return torch.nested.nested_tensor([torch.ones(s, dtype=dtype) for s in shapes], layout=layout)


ODD_TEXTS: Values = {
    **plain("", " ", "\ud800", "a\x00b", "a\u202eb", ["", ""], ["\udcff"], [()], [("a",)], [("a", "b", "c")]),
    **plain([None], ["a", None], ["a", 1], {"text": "a"}, {"text": ["a"], "text_pair": ["b", "c"]}, {"text": 3}),
    **plain([[]], [[1], [2, 3]], [[1.5]], [True], [10**30], [-1], [[10**400]], [[1, "a"]], ((1, 2),), [[[1]]]),
    **plain({"input_ids": []}, {"input_ids": [[]]}, {"input_ids": 5}, {"input_ids": None}, {1: 2}, {"": 1}),
    "0 rows": lambda: torch.zeros(0, 5, dtype=torch.int64),
    "0 tokens": lambda: torch.zeros(2, 0, dtype=torch.int64),
    "0-dim": lambda: torch.tensor(3),
    "3 axes": lambda: torch.zeros(1, 2, 3, dtype=torch.int64),
    "7 axes": lambda: torch.zeros(1, 1, 1, 1, 1, 1, 1),
    "int32": lambda: _ids().int(),
    "int16": lambda: _ids().short(),
    "uint8": lambda: _ids().byte(),
    "uint16": lambda: _ids().to(torch.uint16),
    "uint64": lambda: _ids().to(torch.uint64),
    "bools": lambda: _ids() > 3,
    "floats": lambda: _ids().float(),
    "half": lambda: _ids().half(),
    "complex": lambda: _ids().to(torch.complex64),
    "features": lambda: torch.randn(1, 5, 16),
    "features of half": lambda: torch.randn(1, 5, 16).half(),
    "features of nan": lambda: torch.full((1, 5, 16), torch.nan),
    "features of 0": lambda: torch.zeros(1, 5, 0),
    "complex features": lambda: torch.randn(1, 5, 16).to(torch.complex64),
    "sparse ids": lambda: _ids().to_sparse(),
    "csr ids": lambda: _ids().to_sparse_csr(),
    "sparse features": lambda: torch.randn(1, 5, 16).to_sparse(),
    "nested ids": lambda: _nested((3,), (5,), dtype=torch.int64),
    "jagged ids": lambda: _nested((3,), (5,), dtype=torch.int64, layout=torch.jagged),
    "nested features": lambda: _nested((3, 16), (5, 16)),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(1, 5, 16), 0.1, 0, torch.quint8),
    "huge ids": lambda: torch.tensor([[2**62, 1]]),
    "least id": lambda: torch.tensor([[-(2**63), 1]]),
    "meta": lambda: _ids().to("meta"),
    "wants gradients": lambda: torch.randn(1, 5, 16, requires_grad=True),
    "array": lambda: _ids().numpy(),
    "array of uint16": lambda: _ids().numpy().astype(np.uint16),
    "array of uint64": lambda: _ids().numpy().astype(np.uint64),
    "big endian": lambda: _ids().numpy().astype(">i8"),
    "objects": lambda: np.array([["a", None]], dtype=object),
    "array of texts": lambda: np.array([["a", "b"]]),
    "masked": lambda: np.ma.masked_array(_ids().numpy(), mask=False),
    "backwards": lambda: _ids().numpy()[:, ::-1],
    "column": lambda: Column("a text", "another"),
    "column of ids": lambda: Column([1, 5, 2], [1, 2]),
    "deque": lambda: collections.deque(["a", "b"]),
    "set of texts": lambda: {"a", "b"},
    "keys": lambda: {"a": 1, "b": 2}.keys(),
    "generator of ids": lambda: (row for row in ids(6, 4)["input_ids"]),
    "empty generator": lambda: (row for row in []),
    "file": lambda: io.StringIO("a\nb\n"),
    "bytes file": lambda: io.BytesIO(b"a\nb\n"),
    "list of arrays": lambda: [np.array([1, 5]), np.array([1, 5, 2])],
    "list of mixed": lambda: [np.array([1, 5]), torch.tensor([1, 5, 2]), [1, 2]],
    "list of kinds": lambda: [torch.tensor([1]), torch.tensor([1.5])],
    "list of nested": lambda: [_nested((3,), (5,))],
    "list of mappings": lambda: [ids(3), ids(5)],
    "list of misfits": lambda: [ids(3), {"input_ids": torch.tensor([[1]])}],
    "list of 0-dim": lambda: [torch.tensor(1), torch.tensor(2)],
    "encoding": lambda: Encoding(ids(5)),
    "UserDict": lambda: collections.UserDict(ids(5)),
    "float mask": lambda: _with(attention_mask=torch.ones(2, 6) * 0.5),
    "nan mask": lambda: _with(attention_mask=torch.full((2, 6), torch.nan)),
    "bool mask": lambda: _with(attention_mask=torch.ones(2, 6, dtype=torch.bool)),
    "empty mask": lambda: _with(attention_mask=torch.zeros(2, 6, dtype=torch.int64)),
    "mask of 4 axes": lambda: _with(attention_mask=torch.ones(2, 1, 6, 6)),
    "complex mask": lambda: _with(attention_mask=torch.ones(2, 6, dtype=torch.complex64)),
    "sparse mask": lambda: _with(attention_mask=torch.ones(2, 6).to_sparse()),
    "nested mask": lambda: _with(attention_mask=_nested((6,), (6,))),
    "quantised mask": lambda: _with(attention_mask=torch.quantize_per_tensor(torch.ones(2, 6), 0.1, 0, torch.quint8)),
    "text as mask": lambda: _with(attention_mask="all"),
    "object as mask": lambda: _with(attention_mask=object()),
    "meta mask": lambda: _with(attention_mask=torch.ones(2, 6, device="meta")),
    "types": lambda: _with(token_type_ids=torch.ones(2, 6, dtype=torch.int64)),
    "wrong types": lambda: _with(token_type_ids=torch.full((2, 6), 9)),
    "float types": lambda: _with(token_type_ids=torch.ones(2, 6)),
    "far positions": lambda: _with(position_ids=torch.full((2, 6), 99)),
    "short positions": lambda: _with(position_ids=torch.zeros(2, 3, dtype=torch.int64)),
    "labels": lambda: _with(labels=torch.tensor([0, 1])),
    "wrong labels": lambda: _with(labels=torch.tensor([0, 99])),
    "both": lambda: _with(inputs_embeds=torch.ones(2, 6, 16)),
    "embeds": lambda: {"inputs_embeds": torch.randn(2, 6, 16)},
    "narrow embeds": lambda: {"inputs_embeds": torch.randn(2, 6, 3)},
    "nested embeds": lambda: {"inputs_embeds": _nested((3, 16), (5, 16))},
    "int embeds": lambda: {"inputs_embeds": torch.ones(2, 6, 16, dtype=torch.int64)},
    "flags": lambda: _with(return_dict=False),
    "odd flags": lambda: _with(return_dict="x"),
    "head mask": lambda: _with(head_mask=torch.ones(2, 2)),
    "past": lambda: _with(past_key_values=((torch.ones(1),),)),
    "use cache": lambda: _with(use_cache=True),
    "unknown name": lambda: _with(colour=torch.ones(2)),
    "name of no text": lambda: {3: torch.ones(2), **ids(6, 4)},
    "surrogate name": lambda: {"\ud800": torch.ones(2), **ids(6, 4)},
    "offsets": lambda: _with(offset_mapping=torch.zeros(2, 6, 2), special_tokens_mask=[[1] * 6] * 2),
    **TENSORS,
    **ARRAYS,
    **CONTAINERS,
}


def _picture(mode: str, size: tuple[int, int] = (16, 16)) -> Any:
    from PIL import Image

    return Image.new(mode, size)


def _frames() -> Any:
    from PIL import Image

    file = io.BytesIO()
    Image.new("P", (16, 16)).save(file, "GIF", save_all=True, append_images=[Image.new("P", (16, 16), 3)])
    return Image.open(file)


def _closed() -> Any:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "PNG")
    picture = Image.open(file)
    file.close()
    return picture


def _cut() -> Any:
    from PIL import Image

    file = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(file, "PNG")
    return Image.open(io.BytesIO(file.getvalue()[:900]))


MODES = (
    "1",
    "L",
    "P",
    "RGB",
    "RGBA",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "F",
    "LA",
    "PA",
    "RGBX",
    "I;16",
    "La",
    "RGBa",
)
ODD_IMAGES: Values = {
    **{f"mode {mode}": lambda mode=mode: _picture(mode) for mode in MODES},
    **plain("nowhere.png", "", "\ud800.png", "a\x00b", Path("."), Path("/dev/null"), b"\x89PNG", "~", "http://x/y.png"),
    "0 wide": lambda: _picture("RGB", (0, 5)),
    "1 x 1": lambda: _picture("RGB", (1, 1)),
    "1 x 5000": lambda: _picture("L", (1, 5000)),
    "frames": _frames,
    "closed": _closed,
    "cut off": _cut,
    "list of modes": lambda: [_picture("RGB"), _picture("L")],
    "list of kinds": lambda: [_picture("RGB"), pixels(1)[0], "nowhere.png"],
    "list of sizes": lambda: [torch.zeros(3, 16, 16), torch.zeros(3, 8, 8)],
    "list of ranks": lambda: [torch.zeros(3, 16, 16), torch.zeros(16, 16)],
    "list of nested": lambda: [_nested((3, 16, 16), (3, 16, 16))],
    "list of sparse": lambda: [torch.zeros(3, 16, 16).to_sparse()],
    "list of dtypes": lambda: [torch.zeros(3, 16, 16), torch.zeros(3, 16, 16, dtype=torch.float64)],
    "list of devices": lambda: [torch.zeros(3, 16, 16), torch.zeros(3, 16, 16, device="meta")],
    "nested": lambda: _nested((3, 16, 16), (3, 16, 16)),
    "nested sizes": lambda: _nested((3, 16, 16), (3, 8, 16)),
    "jagged": lambda: _nested((3, 16, 16), (2, 16, 16), layout=torch.jagged),
    "nested by name": lambda: {"pixel_values": _nested((3, 16, 16), (3, 8, 16))},
    "sparse": lambda: pixels(1).to_sparse(),
    "sparse by name": lambda: {"pixel_values": pixels(1).to_sparse()},
    "quantised": lambda: torch.quantize_per_tensor(pixels(1), 0.1, 0, torch.quint8),
    "quantised by name": lambda: {"pixel_values": torch.quantize_per_tensor(pixels(1), 0.1, 0, torch.quint8)},
    "complex": lambda: pixels(1).to(torch.complex64),
    "complex by name": lambda: {"pixel_values": pixels(1).to(torch.complex64)},
    "float8": lambda: pixels(1).to(torch.float8_e4m3fn),
    "half": lambda: pixels(1).half(),
    "bfloat16": lambda: pixels(1).bfloat16(),
    "double": lambda: pixels(1).double(),
    "uint8": lambda: torch.zeros(3, 16, 16, dtype=torch.uint8),
    "int64": lambda: torch.zeros(1, 3, 16, 16, dtype=torch.int64),
    "bools": lambda: torch.zeros(1, 3, 16, 16, dtype=torch.bool),
    "meta": lambda: pixels(1).to("meta"),
    "nan": lambda: pixels(1) * torch.nan,
    "inf": lambda: pixels(1) / 0,
    "wants gradients": lambda: pixels(1).requires_grad_(),
    "channels last": lambda: pixels(1).to(memory_format=torch.channels_last),
    "last axis": lambda: pixels(1).permute(0, 2, 3, 1),
    "expanded": lambda: torch.ones(1, 3, 1, 1).expand(2, 3, 16, 16),
    "0 rows": lambda: torch.zeros(0, 3, 16, 16),
    "0 wide pixels": lambda: torch.zeros(1, 3, 16, 0),
    "0 channels": lambda: torch.zeros(1, 0, 16, 16),
    "large": lambda: torch.zeros(1, 3, 64, 64),
    "odd size": lambda: torch.zeros(1, 3, 17, 15),
    "small": lambda: torch.zeros(1, 3, 2, 2),
    "4 channels": lambda: torch.zeros(1, 4, 16, 16),
    "grey": lambda: torch.zeros(1, 1, 16, 16),
    "2 axes": lambda: torch.zeros(16, 16),
    "5 axes": lambda: torch.zeros(1, 2, 3, 16, 16),
    "6 axes": lambda: torch.zeros(1, 1, 2, 3, 16, 16),
    "0-dim": lambda: torch.tensor(0.5),
    "array": lambda: pixels(1).numpy(),
    "array last": lambda: np.zeros((16, 16, 3), dtype=np.uint8),
    "array of floats": lambda: np.zeros((16, 16, 3)),
    "array of complex": lambda: np.zeros((3, 16, 16), dtype=complex),
    "array of objects": lambda: np.full((3, 16, 16), None),
    "array of bools": lambda: np.zeros((16, 16), dtype=bool),
    "array of int64": lambda: np.full((16, 16, 3), 2**40),
    "array of float16": lambda: np.zeros((3, 16, 16), dtype=np.float16),
    "longdouble": lambda: np.zeros((1, 3, 16, 16), dtype=np.longdouble),
    "masked": lambda: np.ma.masked_array(np.zeros((3, 16, 16)), mask=True),
    "0 array": lambda: np.zeros((0, 3, 16, 16)),
    "by name": lambda: {"pixel_values": pixels(2)},
    "by wrong name": lambda: {"pixels": pixels(2)},
    "ids by name": lambda: ids(5),
    "both by name": lambda: {"pixel_values": pixels(1), **ids(5)},
    "labels too": lambda: {"pixel_values": pixels(2), "labels": torch.tensor([0, 1])},
    "list by name": lambda: {"pixel_values": [pixels(1)[0], pixels(1)[0]]},
    "picture by name": lambda: {"pixel_values": _picture("RGB")},
    "mask": lambda: {"pixel_values": pixels(1), "bool_masked_pos": torch.zeros(1, 16, dtype=torch.bool)},
    "wrong mask": lambda: {"pixel_values": pixels(1), "bool_masked_pos": torch.zeros(1, 3)},
    "interpolated": lambda: {"pixel_values": torch.zeros(1, 3, 24, 24), "interpolate_pos_encoding": True},
    "odd flag": lambda: {"pixel_values": pixels(1), "interpolate_pos_encoding": "x"},
    "generator": lambda: (p for p in pixels(2)),
    "column": lambda: Column(_picture("RGB"), _picture("L")),
    **TENSORS,
    **ARRAYS,
    **CONTAINERS,
}
