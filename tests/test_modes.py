"""Networks are asked in evaluation mode however they are reached, and left as they were."""
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.modules.module import _global_forward_pre_hooks

import xai_repro as xr
from xai_repro.inputs.removal import Removal
from xai_repro.inputs.segmentation import grid
from xai_repro.modes import evaluating

ROWS = torch.rand(16, 5, generator=torch.Generator().manual_seed(0))


def network(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(.5), nn.Linear(8, 2)]
        return nn.Sequential(*layers).train()


class Listed(nn.Module):
    """A network that holds another in a list, where torch does not see it."""

    def __init__(self, other):
        super().__init__()
        self.others = [other]

    def forward(self, x): return sum(other(x) for other in self.others)


def of_module(x): return my_networks.one(x)  # noqa: F821 - set by the fixture


def imported(x):
    from my_networks import one
    return one(x)


def of_container(x):
    import my_networks
    return my_networks.by_name["one"](x)


@pytest.fixture(name="hidden")
def _hidden(monkeypatch):
    """A network that no function holds."""
    hidden = network()
    module = types.ModuleType("my_networks")
    module.one, module.by_name = hidden, {"one": hidden}
    monkeypatch.setitem(sys.modules, "my_networks", module)
    monkeypatch.setitem(globals(), "my_networks", module)
    return hidden


def asked(model, x):
    with torch.no_grad(), evaluating(model): return model(x)


def is_as_it_was(layers):
    counted = [layer for layer in layers if hasattr(layer, "num_batches_tracked")]
    moved = any(int(layer.num_batches_tracked) for layer in counted)
    return all(layer.training for layer in layers) and not moved and not _global_forward_pre_hooks


@pytest.mark.parametrize("reach", [of_module, imported, of_container, Listed])
def test_a_network_that_is_not_seen_is_met(hidden, reach):
    model = Listed(hidden) if reach is Listed else reach
    expected = deepcopy(hidden).eval()(ROWS)
    assert torch.equal(asked(model, ROWS), expected)
    assert is_as_it_was(list(hidden.modules()))


def test_it_is_put_back_after_an_exception(hidden):
    with pytest.raises(RuntimeError): asked(of_module, ROWS[:, :3])
    assert is_as_it_was(list(hidden.modules()))


def test_threads_meet_one_network(hidden):
    expected = deepcopy(hidden).eval()(ROWS)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: asked(of_module, ROWS), range(200)))
    assert all(torch.equal(answer, expected) for answer in answers)
    assert is_as_it_was(list(hidden.modules()))


def test_what_another_thread_calls_meanwhile_is_left_alone(hidden):
    other = network(1)
    with evaluating(of_module), ThreadPoolExecutor(1) as pool:
        pool.submit(other, ROWS).result()
    assert int(other[1].num_batches_tracked) == 1, "it was trained, as its thread meant to"
    assert hidden.training


def test_buffers_that_a_call_lends_are_not_kept(hidden):
    """An ensemble's, by functional_call: what the network had before must stay in it."""
    several = [network(seed) for seed in range(3)]
    parameters, buffers = stack_module_state(several)
    own = {name: id(buffer) for name, buffer in hidden.named_buffers()}

    def ensemble(x):
        def one(p, b): return functional_call(my_networks.one, (p, b), (x,))  # noqa: F821
        return vmap(one)(parameters, buffers)

    expected = torch.stack([deepcopy(each).eval()(ROWS) for each in several])
    assert torch.allclose(asked(ensemble, ROWS), expected, atol=1e-6)
    assert {name: id(buffer) for name, buffer in hidden.named_buffers()} == own
    assert is_as_it_was(list(hidden.modules()))


IMAGE = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))


def of_pictures():
    """A network of pictures to pictures, in training mode."""
    return nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Dropout(.5)).train()


class Painted(Removal):
    """A removal that shows what a network paints."""

    def __init__(self, painter): self.painter = painter

    def baseline(self, image, segments): return self.painter(image[None])[0].detach().clamp(0, 1)


def brightness(images): return images.mean((2, 3))


def removed(painter):
    instance = xr.image(IMAGE, brightness, segmentation=grid(IMAGE, 8), removal=Painted(painter))
    return instance.value([[True, False, False, False]])


def segmented(painter):
    def halves(image): return (painter(image[None])[0].argmax(0) > 0).long()
    return xr.image(IMAGE, brightness, segmentation=halves).segments


def wrapped(painter):
    return xr.wrap(lambda images: painter(images).mean((2, 3))).predict(IMAGE[None])


@pytest.mark.parametrize("ask", [removed, segmented, wrapped])
def test_networks_beside_the_model_are_asked_in_evaluation_mode_too(ask):
    painter = of_pictures()
    once, again = (torch.as_tensor(ask(painter)) for _ in range(2))
    assert torch.equal(once, again)
    assert is_as_it_was(list(painter.modules()))
