"""Mixed precision: bfloat16 copies of the weights, rounded once a step from float32 masters.

Autocast rounds every matrix and bias anew in each pass, and turns its gradient back, one by one:
a quarter of what a GPU is asked to do in a training step. Here they are rounded together
after an update, and their gradients turned back together, to the same values.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from xstilts.training.lora import Adapted
from xstilts.training.packed.self_attention import joined, parts_of


class BF16Weights:
    """bfloat16 copies of an encoder's linear layers, which take part in training passes instead of
    the float32 weights that the optimiser has. Where they are not to be used there are none.

    A module with copies has them as `working`, weight and bias, no parameters of its own: its state
    stays as it is.
    """

    def __init__(self, encoder: PreTrainedModel, is_used: bool):
        self._copies: list[tuple[Tensor, list[Tensor]]] = []
        # Every weight, and the piece of a copy that is it rounded.
        self._weights: list[Tensor] = []
        self._pieces: list[Tensor] = []
        self._attentions = joined(encoder) if is_used else []
        for attention in self._attentions:
            parts = parts_of(attention)
            attention.working = self._copy([part.weight for part in parts]), self._bias_of(parts)
        others = {id(part) for attention in self._attentions for part in parts_of(attention)}
        self._layers: list[Any] = [
            layer
            for layer in (encoder.modules() if is_used else ())
            if type(layer) in (nn.Linear, Adapted) and id(layer) not in others
        ]
        for layer in self._layers:
            layer.working = self._copy([layer.weight]), self._bias_of([layer])
            setattr(layer, _replaced(layer), MethodType(_forward, layer))

    def _bias_of(self, layers: list[Any]) -> Tensor | None:
        """One copy of the biases of layers that all have one."""
        return None if layers[0].bias is None else self._copy([layer.bias for layer in layers])

    def _copy(self, masters: list[Tensor]) -> Tensor:
        """One copy of some weights, side by side."""
        copied = torch.cat(masters).detach().to(torch.bfloat16)
        if not any(master.requires_grad for master in masters):
            return copied  # of weights that stay as they are
        copied.requires_grad_()
        self._copies.append((copied, masters))
        self._weights += masters
        self._pieces += _pieces(copied.detach(), masters)
        return copied

    @torch.no_grad()
    def round(self) -> None:
        """After the weights have changed."""
        if self._pieces:
            torch._foreach_copy_(self._pieces, self._weights)

    @torch.no_grad()
    def give_gradients(self) -> None:
        """After a pass: add what the copies have to the weights' own gradients, in float32."""
        # Gradients of the copies, and where each goes: a place of its own, or one that has some.
        new: tuple[list[Tensor], list[Tensor]] = [], []
        more: tuple[list[Tensor], list[Tensor]] = [], []
        for copied, masters in self._copies:
            if copied.grad is None:
                continue
            for master, gradient in zip(masters, _pieces(copied.grad, masters), strict=True):
                into = new if master.grad is None else more
                if master.grad is None:
                    master.grad = torch.empty_like(master)
                into[0].append(master.grad)
                into[1].append(gradient)
        if new[0]:
            torch._foreach_copy_(*new)
        if more[0]:
            torch._foreach_add_(*more)
        self.drop_gradients()

    def drop_gradients(self) -> None:
        """Of a pass that failed."""
        for copied, _ in self._copies:
            copied.grad = None

    def remove(self) -> None:
        """Leave the modules as they were."""
        for module in (*self._attentions, *self._layers):
            del module.working
        for layer in self._layers:
            delattr(layer, _replaced(layer))


def _pieces(together: Tensor, masters: list[Tensor]) -> Sequence[Tensor]:
    """Of what lies side by side, the piece of each of some tensors."""
    if len(masters) == 1:
        return [together]
    return torch.split(together, [len(master) for master in masters])


def _replaced(layer: Any) -> str:
    """The method of a layer that multiplies with its weights."""
    return "own" if isinstance(layer, Adapted) else "forward"


def _forward(layer: Any, input: Tensor) -> Tensor:
    weight, bias = layer.working if layer.training else (layer.weight, layer.bias)
    return functional.linear(input, weight, bias)
