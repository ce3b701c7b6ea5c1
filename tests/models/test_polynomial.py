import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import functional_call, jvp

from basinscope.errors import InputError
from basinscope.models import polynomial
from basinscope.models.catalog import num_parameters
from basinscope.models.polynomial import PolynomialLinear, quadratic_forms
from basinscope.seeds import generator


def _features(images, shrunk):
    """Every pixel, then every product of two shrunk pixels, one at a time."""
    step = images.shape[-1] // shrunk
    small = images.unflatten(3, (shrunk, step)).unflatten(2, (shrunk, step)).mean((3, 5)).flatten(1)
    products = [small[:, i] * small[:, j] for i in range(small.shape[1]) for j in range(i, small.shape[1])]
    pixels = images.flatten(1)
    return torch.cat([pixels / pixels.shape[1] ** 0.5, torch.stack(products, 1) / len(products) ** 0.5], 1)


def _net(classes, channels, size, shrunk):
    net = PolynomialLinear(classes, channels, size, shrunk).double()
    for name, parameter in net.named_parameters():
        torch.nn.init.normal_(parameter, generator=generator(0, name))
    return net


def _images(num, channels, size):
    return torch.randn(num, channels, size, size, generator=generator(0, "images"), dtype=torch.float64)


def test_the_paper_s_model_has_298368_features():
    net = PolynomialLinear(10, 3, 32, 16)
    assert net.num_features == 298_368
    assert num_parameters(net) == 10 * 298_369


@pytest.mark.parametrize(("channels", "size", "shrunk"), [(1, 4, 4), (3, 8, 4), (2, 6, 1), (3, 14, 7)])
def test_logits_and_gradients_are_those_of_the_explicit_features(channels, size, shrunk):
    net, images = _net(3, channels, size, shrunk), _images(5, channels, size)
    features = _features(images, shrunk)
    assert features.shape[1] == net.num_features
    logits = net(images)
    torch.testing.assert_close(
        logits, features @ torch.cat([net.pixels, net.products], 1).T + net.bias, rtol=1e-10, atol=1e-12
    )
    weights = torch.randn(logits.shape, generator=generator(0, "weights"), dtype=torch.float64)
    (logits * weights).sum().backward()
    gradient = torch.cat([net.pixels.grad, net.products.grad], 1)
    torch.testing.assert_close(gradient, weights.T @ features, rtol=1e-10, atol=1e-12)


@given(st.integers(1, 9), st.integers(1, 4))
def test_the_size_of_a_block_does_not_matter(size, rows):
    vectors = torch.randn(4, size, generator=generator(0, "x"), dtype=torch.float64)
    triangles = torch.randn(2, size * (size + 1) // 2, generator=generator(0, "t"), dtype=torch.float64)
    whole = quadratic_forms(vectors, triangles)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(polynomial, "_ROWS_AT_ONCE", rows)
        torch.testing.assert_close(quadratic_forms(vectors, triangles), whole, rtol=1e-12, atol=1e-12)


def test_both_groups_of_features_have_about_length_1_on_standardised_images():
    squares = _features(_images(50, 3, 8), 8).square()
    assert squares[:, :192].sum(1).mean() == pytest.approx(1, rel=0.05)
    assert squares[:, 192:].sum(1).mean() == pytest.approx(1, rel=0.05)


def test_it_starts_at_zero():
    assert not any(parameter.any() for parameter in PolynomialLinear(4, 1, 6, 3).parameters())


def test_it_is_linear_in_its_parameters_also_for_a_jvp_of_a_jvp():
    net, images = _net(3, 2, 6, 3), _images(4, 2, 6)
    weights = dict(net.named_parameters())

    def slope(point):
        return jvp(lambda inner: functional_call(net, inner, (images,)), (point,), (weights,))[1]

    first, second = jvp(slope, (weights,), (weights,))
    torch.testing.assert_close(first, net(images))
    assert not second.any()


@pytest.mark.parametrize("shrunk", [0, 9])
def test_the_shrunk_image_lies_within_the_image(shrunk):
    with pytest.raises(InputError, match="shrunk"):
        PolynomialLinear(2, 1, 8, shrunk)
