"""Backward rules at work: the operations of any model, their values as they are and their gradients by `Rules`.

The operations are caught where PyTorch is called, so the model's modules are not changed. An operation without a
gradient to pass back is left alone. `Plain` goes before, so that fused attention arrives as products and a softmax.
"""

from __future__ import annotations

import types
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from .attention_capture import Plain, Reader
from .backward_rules import Rules
from .elementwise import Factor, related

_SOFTMAX = {functional.softmax, torch.softmax, Tensor.softmax}
_LAYER_NORM = {functional.layer_norm, torch.layer_norm}
_RMS_NORM = {functional.rms_norm, torch.rms_norm}
_GROUP_NORM = {functional.group_norm, torch.group_norm}
_ROOT = {torch.sqrt, Tensor.sqrt, torch.rsqrt, Tensor.rsqrt, torch.std, Tensor.std}
_POWER = {torch.pow, Tensor.pow, Tensor.__pow__}
_MATRICES = {
    torch.matmul,
    torch.mm,
    torch.bmm,
    torch.einsum,
    Tensor.matmul,
    Tensor.mm,
    Tensor.bmm,
    Tensor.__matmul__,
    Tensor.__rmatmul__,
}
_ADDED = {torch.baddbmm, Tensor.baddbmm, torch.addmm, Tensor.addmm}
_TIMES = {torch.mul, torch.multiply, Tensor.mul, Tensor.multiply, Tensor.__mul__, Tensor.__rmul__}
_TIMES_IN_PLACE = {Tensor.mul_, Tensor.multiply_, Tensor.__imul__}
_GATED = {functional.gelu, functional.silu}
_MULTI_HEAD = functional.multi_head_attention_forward
# the same function, its own look for a mode switched off, so that the calls inside it are seen
_MULTI_HEAD_OPEN = types.FunctionType(
    _MULTI_HEAD.__code__,
    {**_MULTI_HEAD.__globals__, "has_torch_function": lambda _: False},
    argdefs=_MULTI_HEAD.__defaults__,
)


class AlteredBackward(TorchFunctionMode):
    """The mode in which the operations of a model pass back the gradients of `rules`.

    Args:
        rules: the gradients.

    Attributes:
        count: operations altered so far, by the name of their rule.
    """

    def __init__(self, rules: Rules) -> None:
        super().__init__()
        self.rules, self.count = rules, Counter[str]()
        self._handlers: dict[Any, Callable[..., Any]] = {}
        if rules.norm == "frozen":
            self._handlers |= dict.fromkeys(_LAYER_NORM, self._layer_norm) | dict.fromkeys(_RMS_NORM, self._rms_norm)
            self._handlers |= dict.fromkeys(_GROUP_NORM, self._group_norm)
            self._handlers |= dict.fromkeys(_ROOT, self._root) | dict.fromkeys(_POWER, self._power)
        if rules.softmax_temperature != 1:
            self._handlers |= dict.fromkeys(_SOFTMAX, self._softmax)
        if rules.halve_products:
            self._handlers |= dict.fromkeys(_MATRICES, self._matrices) | dict.fromkeys(_ADDED, self._added)
        if rules.gate == "frozen":
            self._handlers |= dict.fromkeys(_GATED, self._gated)
        if rules.halve_products or rules.gate == "frozen":
            self._handlers |= dict.fromkeys(_TIMES, self._times) | dict.fromkeys(_TIMES_IN_PLACE, self._in_place)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is _MULTI_HEAD:
            with self:
                return _MULTI_HEAD_OPEN(*args, **kwargs)
        handler = self._handlers.get(func) if torch.is_grad_enabled() else None
        return func(*args, **kwargs) if handler is None else handler(func, *args, **kwargs)

    def check(self) -> None:
        """Raise where a rule met no operation.

        Raises:
            ValueError: naming the rule.
        """
        rules = self.rules
        wanted = {
            'norm="frozen"': rules.norm == "frozen" and not self.count["norm"],
            f"softmax_temperature={rules.softmax_temperature:g}": rules.softmax_temperature != 1
            and not self.count["softmax"],
            "halve_products=True": rules.halve_products and not self.count["product"],
            'gate="frozen"': rules.gate == "frozen" and not self.count["gate"],
        }
        missing = [name for name, never in wanted.items() if never]
        if missing:
            raise ValueError(
                f"rules: no operation that {missing[0]} alters was seen in the model; it has none, or computes it "
                "where PyTorch's functions are not called (a kernel of its own); leave that rule at its default"
            )

    def _layer_norm(self, func: Any, *args: Any, **kwargs: Any) -> Tensor:
        x, shape, weight, bias, eps = _norm_arguments(*args, **kwargs)
        if not x.requires_grad:
            return _tensor(func(*args, **kwargs))
        axes = tuple(range(-len(shape), 0))
        wide = _wide(x)
        centred = wide - wide.mean(axes, keepdim=True)
        return self._frozen(func, args, kwargs, _affine(centred * _inverse(centred, axes, eps), weight, bias, x))

    def _rms_norm(self, func: Any, *args: Any, **kwargs: Any) -> Tensor:
        x, shape, weight, _, eps = _norm_arguments(*args, **{"eps": None, **kwargs}, rms=True)
        if not x.requires_grad:
            return _tensor(func(*args, **kwargs))
        eps = torch.finfo(x.dtype).eps if eps is None else eps
        wide = _wide(x)
        scaled = wide * _inverse(wide, tuple(range(-len(shape), 0)), eps)
        return self._frozen(func, args, kwargs, _affine(scaled, weight, None, x))

    def _group_norm(self, func: Any, *args: Any, **kwargs: Any) -> Tensor:
        x, groups, weight, bias, eps = _group_arguments(*args, **kwargs)
        if not x.requires_grad:
            return _tensor(func(*args, **kwargs))
        apart = _wide(x).reshape(len(x), groups, -1, *x.shape[2:])
        axes = tuple(range(2, apart.dim()))
        centred = apart - apart.mean(axes, keepdim=True)
        scaled = (centred * _inverse(centred, axes, eps)).view(x.shape)
        column = (-1, *[1] * (x.dim() - 2))
        weight, bias = (None if part is None else part.view(column) for part in (weight, bias))
        return self._frozen(func, args, kwargs, _affine(scaled, weight, bias, x))

    def _frozen(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], through: Tensor) -> Tensor:
        self.count["norm"] += 1
        return _tensor(_ValueOf.apply(through, lambda: func(*args, **kwargs)))

    def _root(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        """A square root of one number for many: the deviation of a norm written by hand."""
        out = func(*args, **kwargs)
        if not out.requires_grad or 1 not in out.shape[1:]:
            return out
        self.count["norm"] += 1
        return out.detach()

    def _power(self, func: Any, base: Any, exponent: Any, **kwargs: Any) -> Any:
        if isinstance(base, Tensor) and not isinstance(exponent, Tensor) and exponent in {0.5, -0.5} and not kwargs:
            return self._root(func, base, exponent)
        return func(base, exponent, **kwargs)

    def _softmax(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        """The gradient of T softmax(z / T), the value of softmax(z)."""
        logits = args[0] if args else kwargs["input"]
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        if not logits.requires_grad or logits.dim() < 3 or dim not in {-1, logits.dim() - 1}:
            return func(*args, **kwargs)
        self.count["softmax"] += 1
        t = self.rules.softmax_temperature
        softer = t * torch.softmax(logits / t, -1, kwargs.get("dtype"))
        return _ValueOf.apply(softer, lambda: func(*args, **kwargs))

    def _matrices(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        return func(*self._halved(args), **kwargs)

    def _added(self, func: Any, added: Tensor, *args: Any, **kwargs: Any) -> Any:
        return func(added, *self._halved(args), **kwargs)

    def _times(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        factors = _active(args)
        if len(factors) < 2:
            return func(*args, **kwargs)
        one, other = (Factor(t) for t in factors)
        if not related(one, other):
            return func(*self._halved(args), **kwargs) if self.rules.halve_products else func(*args, **kwargs)
        if self.rules.gate == "plain" or one.bent == other.bent:
            return func(*args, **kwargs)
        self.count["gate"] += 1
        gate = one.tensor if one.bent else other.tensor
        return func(*(v.detach() if v is gate else v for v in args), **kwargs)

    def _in_place(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        if len(_active(args)) > 1:
            raise ValueError(
                "rules: the model multiplies two hidden states in place (mul_), so the gradient of the first cannot be "
                'altered; take rules="plain", or Rules(...) without halve_products and gate'
            )
        return func(*args, **kwargs)

    def _gated(self, func: Any, *args: Any, **kwargs: Any) -> Tensor:
        x = args[0] if args else kwargs["input"]
        if not x.requires_grad:
            return _tensor(func(*args, **kwargs))
        self.count["gate"] += 1
        more = {name: value for name, value in kwargs.items() if name not in {"input", "inplace"}}
        through = x * _gate(func, x.detach(), **more)
        return _tensor(_ValueOf.apply(through, lambda: func(x, **more)))

    def _halved(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, the gradients to hidden states among them divided by their number where there are several."""
        active = _active(args)
        if len(active) < 2:
            return args
        self.count["product"] += 1

        def of(value: Any) -> Any:
            if isinstance(value, list | tuple):
                return type(value)(of(v) for v in value)
            return _Scaled.apply(value, 1 / len(active)) if isinstance(value, Tensor) and value.requires_grad else value

        return tuple(of(value) for value in args)


def altered(rules: Rules | None) -> AlteredBackward | None:
    """The mode of some rules, None where they replace no gradient."""
    return None if rules is None or rules.plain else AlteredBackward(rules)


@contextmanager
def operations(mode: AlteredBackward | None, reader: Reader | None = None) -> Iterator[None]:
    """The context that PyTorch's functions run in: altered, and their attention read, where that is wanted.

    The mode that is entered last sees a call first: `reader` reads the attention whose gradient is altered.
    """
    with ExitStack() as stack:
        for one in (mode, reader, None if mode is None else Plain()):
            if one is not None:
                stack.enter_context(one)
        yield


class _ValueOf(torch.autograd.Function):
    """The value of a function, with the gradient of a tensor of the same shape."""

    @staticmethod
    def forward(ctx: Any, through: Tensor, function: Callable[[], Tensor]) -> Tensor:
        return function()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        return slope, None


class _Scaled(torch.autograd.Function):
    """A tensor, its gradient multiplied by a number."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        return slope * ctx.weight, None


def _active(args: tuple[Any, ...]) -> list[Tensor]:
    """The tensors that pass a gradient on."""
    flat = [v for value in args for v in (value if isinstance(value, list | tuple) else [value])]
    return [v for v in flat if isinstance(v, Tensor) and v.requires_grad]


def _tensor(value: Any) -> Tensor:
    tensor: Tensor = value
    return tensor


def _wide(x: Tensor) -> Tensor:
    """The tensor in the dtype that a norm computes in."""
    return x.float() if x.dtype in {torch.float16, torch.bfloat16} else x


def _inverse(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """One over the root mean square, a constant."""
    return torch.rsqrt(x.detach().square().mean(axes, keepdim=True) + eps)


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None, like: Tensor) -> Tensor:
    scaled = x if weight is None else x * weight
    return (scaled if bias is None else scaled + bias).to(like.dtype)


def _gate(func: Any, x: Tensor, approximate: str = "none") -> Tensor:
    """g(x) of an activation x g(x)."""
    if func is functional.silu:
        return torch.sigmoid(x)
    if approximate == "tanh":
        return 0.5 * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))
    return 0.5 * (1 + torch.erf(x / 2**0.5))


def _norm_arguments(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Any = None,
    eps: Any = 1e-5,
    *_: Any,
    rms: bool = False,
) -> tuple[Tensor, Any, Tensor | None, Tensor | None, Any]:
    """Input, shape, weight, bias and eps of `layer_norm`, or with `rms` of `rms_norm`, which has no bias."""
    return input, normalized_shape, weight, None if rms else bias, bias if rms and bias is not None else eps


def _group_arguments(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> tuple[Tensor, int, Tensor | None, Tensor | None, float]:
    return input, num_groups, weight, bias, eps
