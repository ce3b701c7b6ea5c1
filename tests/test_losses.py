import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.functional import cross_entropy as torch_cross_entropy

from basinscope.losses import cross_entropy, cross_entropy_second_derivative, is_correct, poison

finite = st.floats(-30, 30)


def _random(classes, samples=50, scale=3.0):
    stream = torch.Generator().manual_seed(classes)
    logits = scale * torch.randn(samples, classes, generator=stream, dtype=torch.float64)
    return logits, torch.randint(max(2, classes), (samples,), generator=stream)


def test_one_logit_is_the_binary_cross_entropy():
    logits, labels = _random(1)
    wanted = binary_cross_entropy_with_logits(logits[:, 0], labels.double(), reduction="none")
    torch.testing.assert_close(cross_entropy(logits, labels), wanted, rtol=1e-10, atol=0)


def test_poison_of_one_logit_is_the_cross_entropy_of_flipped_labels():
    logits, labels = _random(1)
    torch.testing.assert_close(poison(logits, labels), cross_entropy(logits, 1 - labels), rtol=0, atol=0)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_many_logits_are_the_softmax_cross_entropy(classes):
    logits, labels = _random(classes)
    wanted = torch_cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(cross_entropy(logits, labels), wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_poison_is_the_surprise_at_any_other_class(classes):
    logits, labels = _random(classes)
    probability = logits.softmax(1).gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(poison(logits, labels), -torch.log1p(-probability), rtol=1e-8, atol=1e-14)


@given(finite, finite, st.integers(0, 1))
def test_two_logits_count_as_their_difference(zero, one, label):
    labels = torch.tensor([label])
    two = torch.tensor([[zero, one]], dtype=torch.float64)
    single = two[:, 1:] - two[:, :1]
    for loss in (cross_entropy, poison):
        torch.testing.assert_close(loss(two, labels), loss(single, labels), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("row", [[1e4], [-1e4], [1e4, -1e4], [-1e4, 1e4, 0.0], [1e4, 1e4, -1e4]])
def test_extreme_logits_stay_finite_with_finite_gradients(row, dtype):
    for label in range(max(2, len(row))):
        logits = torch.tensor([row], dtype=dtype, requires_grad=True)
        for loss in (cross_entropy, poison):
            value = loss(logits, torch.tensor([label])).sum()
            assert value.isfinite()
            assert torch.autograd.grad(value, logits)[0].isfinite().all()


def test_extreme_logits_have_the_exact_loss():
    sure, label = torch.tensor([[-1e4, 1e4]], dtype=torch.float64), torch.tensor([1])
    assert poison(sure, label).item() == 2e4
    assert cross_entropy(sure, label).item() == 0
    assert cross_entropy(sure, 1 - label).item() == 2e4


def test_tiny_losses_keep_their_digits():
    logits, label = torch.tensor([[40.0]], dtype=torch.float64), torch.tensor([1])
    assert cross_entropy(logits, label).item() == pytest.approx(4.248354255291589e-18, rel=1e-10)


@pytest.mark.parametrize("classes", [1, 2, 4])
@pytest.mark.parametrize("loss", [cross_entropy, poison])
def test_gradients_are_those_of_finite_differences(loss, classes):
    logits, labels = _random(classes, samples=6, scale=1.0)
    assert torch.autograd.gradcheck(lambda z: loss(z, labels), logits.requires_grad_())


@pytest.mark.parametrize("classes", [1, 3])
def test_labels_are_shared_by_leading_axes(classes):
    logits, labels = _random(classes)
    stacked = torch.stack([logits, -logits])
    for loss in (cross_entropy, poison, is_correct):
        alone = torch.stack([loss(logits, labels), loss(-logits, labels)])
        torch.testing.assert_close(loss(stacked, labels), alone, rtol=1e-14, atol=0)


def test_right_answers_are_counted_and_a_tie_is_class_0():
    logits, labels = torch.tensor([[2.0], [-2.0], [0.0], [0.0]]), torch.tensor([1, 1, 0, 1])
    assert is_correct(logits, labels).tolist() == [True, False, True, False]
    three = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]])
    assert is_correct(three, torch.tensor([1, 2])).tolist() == [True, False]


def _line(classes, samples=7, lines=3):
    """Random Taylor coefficients of the logits along a few lines, and labels."""
    logits, labels = _random(classes, samples=samples, scale=1.5)
    stream = torch.Generator().manual_seed(100 + classes)
    first, second = torch.randn(2, lines, samples, classes, generator=stream, dtype=torch.float64)
    return logits, first, second, labels


@pytest.mark.parametrize("classes", [1, 2, 3, 10])
def test_second_derivatives_are_those_of_autograd_along_the_line(classes):
    logits, first, second, labels = _line(classes)
    for a, b in zip(first, second, strict=True):

        def loss(t, a=a, b=b):
            moved = logits + t * a + 0.5 * t * t * b
            if classes == 1:
                return binary_cross_entropy_with_logits(moved[:, 0], labels.double())
            return torch_cross_entropy(moved, labels)

        wanted = torch.autograd.functional.hessian(loss, torch.zeros((), dtype=torch.float64))
        found = cross_entropy_second_derivative(logits, a, b, labels)
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("classes", [1, 3])
def test_many_lines_at_once_are_each_line_alone(classes):
    logits, first, second, labels = _line(classes)
    found = cross_entropy_second_derivative(logits, first, second, labels)
    alone = [cross_entropy_second_derivative(logits, a, b, labels) for a, b in zip(first, second, strict=True)]
    torch.testing.assert_close(found, torch.stack(alone), rtol=1e-13, atol=0)


def test_the_second_derivative_of_one_logit_is_that_of_two_with_their_difference():
    logits, first, second, labels = _line(2)
    z, slope, bend = (t[..., 1:] - t[..., :1] for t in (logits, first, second))
    wanted = cross_entropy_second_derivative(logits, first, second, labels)
    torch.testing.assert_close(cross_entropy_second_derivative(z, slope, bend, labels), wanted)


def test_a_shift_of_all_logits_bends_nothing():
    logits, first, second, labels = _line(4)
    shift = torch.randn(3, 7, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = cross_entropy_second_derivative(logits + 5, first + shift, second - 2 * shift, labels)
    torch.testing.assert_close(found, cross_entropy_second_derivative(logits, first, second, labels))


def test_the_second_derivative_of_sure_answers_in_single_precision_keeps_its_digits():
    # p(1 − p) ẋ² with a log-odds of 20 or so, where 1 − p is lost in single precision.
    logits, labels = torch.tensor([[10.0, -10.0]]), torch.tensor([0])
    first, second = torch.tensor([[1.0, -1.0]]), torch.zeros(1, 2)
    found = cross_entropy_second_derivative(logits, first, second, labels)
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(4 * 2.0611536e-9, rel=1e-6)
