"""The loss is that over all samples, graphs or tokens, however the data are cut into batches."""

from collections import UserDict
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, ctc_loss, mse_loss, pad
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

import basinscope as bs
from basinscope.errors import InputError
from tests.anyones import mean_loss, perceptron, sample_losses, vectors


def _loss(model, loss, batches, **settings):
    return bs.Objective(model, loss, batches, **settings).center_loss


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


@dataclass
class Graphs:
    """A batch of graphs, as PyTorch Geometric's: nodes of all graphs, and the graph of each."""

    x: torch.Tensor
    graph: torch.Tensor
    y: torch.Tensor
    num_graphs: int | None = None


class GraphNet(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, batch):
        nodes = self.a(batch.x).relu()
        return self.b(torch.zeros(len(batch.y), 8).index_add_(0, batch.graph, nodes))


def _graphs(sizes, *, known):
    nodes = [torch.randn(n, 4, generator=_generator(n)) for n in sizes]
    graph = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    labels = torch.arange(len(sizes)) % 3
    return Graphs(torch.cat(nodes), graph, labels, len(sizes) if known else None)


def _graph_mean(model, batch):
    return cross_entropy(model(batch), batch.y)


def test_a_mean_over_graphs_counts_graphs():
    model = GraphNet().eval()
    batches = [_graphs([9, 9, 2], known=True), _graphs([2], known=True)]
    losses = torch.cat([cross_entropy(model(b), b.y, reduction="none") for b in batches])
    objective = bs.Objective(model, _graph_mean, batches)
    assert objective.center_loss == pytest.approx(float(losses.detach().mean()), rel=1e-6)
    assert objective.num_samples == 4


@pytest.mark.parametrize("count", ["size", lambda batch: len(batch.y)])
def test_a_count_given_by_the_user_is_the_weight(count):
    model = GraphNet().eval()
    batches = [_graphs([9, 9, 2], known=False), _graphs([2], known=False)]
    for batch in batches:
        batch.size = len(batch.y)
    losses = torch.cat([cross_entropy(model(b), b.y, reduction="none") for b in batches])
    assert _loss(model, _graph_mean, batches, count=count) == pytest.approx(float(losses.detach().mean()), rel=1e-6)


def test_graphs_of_an_unknown_number_are_refused_with_the_remedy():
    batches = [_graphs([9, 9, 2], known=False), _graphs([2], known=False)]
    with pytest.raises(InputError, match=r"counted|count=") as caught:
        _loss(GraphNet().eval(), _graph_mean, batches)
    assert "(sum" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("count", "told"),
    [
        ("nothing", r"count='nothing': a batch of type Graphs has no field"),
        ("x", r"count='x' is a Tensor: it must be a number"),
        (lambda batch: -1, r"count\(batch\) is -1: it must be a number of at least 0"),
        (lambda batch: True, r"count\(batch\) is True: it must"),
    ],
)
def test_a_count_that_is_none_is_refused(count, told):
    with pytest.raises(InputError, match=told):
        _loss(GraphNet().eval(), _graph_mean, [_graphs([2, 3], known=False)], count=count)


@pytest.mark.parametrize("reduction", ["sum", lambda losses: losses.sum() * 2])
def test_a_sum_in_place_of_a_mean_is_refused(reduction):
    def loss(model, batch):
        if reduction == "sum":
            return cross_entropy(model(batch[0]), batch[1], reduction="sum")
        return reduction(sample_losses(model, batch))

    for batches in (vectors(), vectors()[:1]):
        with pytest.raises(InputError, match=r"returns the sum over a batch.*\(sum, count\)"):
            _loss(perceptron(), loss, batches)


def test_a_sum_returned_by_a_metric_is_refused_with_its_name():
    objective = bs.Objective(
        perceptron(), mean_loss, vectors(), metrics={"total": lambda m, b: sample_losses(m, b).sum()}
    )
    with pytest.raises(InputError, match=r"metrics\['total'\] returns the sum"):
        bs.slice1d(objective, num_directions=1, resolution=3, progress=False)


def test_a_pair_of_loss_and_accuracy_is_not_read_as_sum_and_count():
    def loss(model, batch):
        outputs = model(batch[0])
        return cross_entropy(outputs, batch[1]), (outputs.argmax(1) == batch[1]).double().mean()

    with pytest.raises(InputError, match=r"read as \(sum, count\).*number of samples"):
        _loss(perceptron(), loss, vectors())


def test_a_count_that_changes_from_point_to_point_is_refused():
    def loss(model, batch):
        outputs = model(batch[0])
        sure = outputs.softmax(1).amax(1) > 0.4
        return (cross_entropy(outputs, batch[1], reduction="none") * sure).sum(), sure.sum()

    for num in (1, 8, None):
        objective = bs.Objective(perceptron(), loss, vectors(), points_at_once=num)
        with pytest.raises(InputError, match=r"count that the loss function returns was \d+ .* at another point"):
            bs.slice1d(objective, num_directions=2, resolution=41, extent=6, progress=False)


def test_counts_that_are_sums_of_weights_are_accepted():
    def loss(model, batch):
        weights = 1 / (1 + batch[1].double())
        return (sample_losses(model, batch) * weights).sum(), weights.sum()

    batches = vectors()
    losses = torch.cat([sample_losses(perceptron(), b) for b in batches])
    weights = torch.cat([1 / (1 + b[1].double()) for b in batches])
    wanted = float((losses * weights).sum().detach() / weights.sum())
    assert _loss(perceptron(), loss, batches) == pytest.approx(wanted, rel=1e-12)


class Speech(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.out = nn.GRU(5, 8), nn.Linear(8, 6)

    def forward(self, x):
        return self.out(self.rnn(x)[0]).log_softmax(-1)


@pytest.mark.parametrize("tupled", [False, True])
def test_a_mean_over_sequences_with_time_first_counts_sequences(tupled):
    def batch(frames, num):
        stream = _generator(frames)
        x = torch.randn(frames, num, 5, generator=stream)
        y = torch.randint(1, 6, (num, 3), generator=stream)
        parts = {"x": x, "y": y, "t": torch.full((num,), frames), "s": torch.full((num,), 3)}
        return tuple(parts.values()) if tupled else parts

    def loss(model, b, reduction="mean"):
        x, y, t, s = b if tupled else b.values()
        return ctc_loss(model(x), y, t, s, reduction=reduction)

    batches, model = [batch(40, 2), batch(10, 8)], Speech().eval()
    objective = bs.Objective(model, loss, batches)
    wanted = _loss(model, lambda m, b: loss(m, b, "none") / 3, batches)
    assert (objective.center_loss, objective.num_samples) == (pytest.approx(wanted, rel=1e-5), 10)


def test_a_mean_over_packed_sequences_counts_sequences():
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.rnn, self.out = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, x):
            padded, lengths = pad_packed_sequence(self.rnn(x)[0], batch_first=True)
            return self.out(padded[torch.arange(len(lengths)), lengths - 1])

    def batch(*lengths):
        sequences = [torch.randn(n, 3, generator=_generator(n)) for n in lengths]
        return pack_sequence(sequences), torch.arange(len(lengths)) % 2

    batches, model = [batch(9, 8, 2), batch(3)], Packed().eval()
    found = bs.Objective(model, lambda m, b: cross_entropy(m(b[0]), b[1]), batches)
    wanted = _loss(model, lambda m, b: cross_entropy(m(b[0]), b[1], reduction="none"), batches)
    assert (found.center_loss, found.num_samples) == (pytest.approx(wanted, rel=1e-6), 4)


def test_a_mean_over_lists_of_images_counts_images():
    torch.manual_seed(0)
    body = nn.Conv2d(3, 4, 3).eval()

    def batch(num):
        images = [torch.randn(3, 8 + k, 9, generator=_generator(k)) for k in range(num)]
        return images, [{"boxes": torch.full((4,), float(k))} for k in range(num)]

    def loss(model, b):
        features = torch.stack([model(image[None]).mean((0, 2, 3)) for image in b[0]])
        return mse_loss(features, torch.stack([t["boxes"] for t in b[1]]))

    batches = [batch(5), batch(2)]
    objective = bs.Objective(body, loss, batches)
    wanted = sum(len(b[0]) * float(loss(body, b).detach()) for b in batches) / 7
    assert (objective.center_loss, objective.num_samples) == (pytest.approx(wanted, rel=1e-6), 7)


def _language_model(kind):
    torch.manual_seed(0)
    if kind == "causal":
        config = GPT2Config(vocab_size=40, n_positions=32, n_embd=16, n_layer=1, n_head=2)
        return GPT2LMHeadModel(config).eval()
    config = BertConfig(vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    return BertForMaskedLM(config).eval()


def _sentences(size, kind, mapping=dict):
    lengths = [30, 28, 3, 2, 29, 4, 2, 3]
    sentences = [torch.randint(40, (n,), generator=_generator(n + 40 * k)) for k, n in enumerate(lengths)]
    batches = []
    for begin in range(0, len(sentences), size):
        some = sentences[begin : begin + size]
        longest = max(map(len, some))
        ids = torch.stack([pad(s, (0, longest - len(s))) for s in some])
        mask = torch.stack([torch.arange(longest) < len(s) for s in some])
        labels = ids.masked_fill(~mask, -100)
        if kind == "masked":
            labels = labels.masked_fill(ids % 3 == 0, -100)
        batches.append(mapping({"input_ids": ids, "attention_mask": mask.long(), "labels": labels}))
    return batches


@pytest.mark.parametrize("mapping", [dict, UserDict])
@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_the_loss_of_a_language_model_does_not_depend_on_how_padded_batches_are_cut(kind, mapping):
    model = _language_model(kind)
    losses = [_loss(model, lambda m, b: m(**b).loss, _sentences(size, kind, mapping)) for size in (2, 4, 8)]
    assert losses[:2] == pytest.approx([losses[2]] * 2, rel=1e-5)


def test_ignored_labels_are_recognised_in_plain_batches():
    torch.manual_seed(0)
    model = nn.Linear(4, 3).eval()
    batches = [(torch.randn(8, 4), torch.randint(3, (8,))) for _ in range(3)]
    batches[1][1][2:] = -100
    whole = (torch.cat([b[0] for b in batches]), torch.cat([b[1] for b in batches]))
    wanted = cross_entropy(model(whole[0]), whole[1]).item()
    objective = bs.Objective(model, lambda m, b: cross_entropy(m(b[0]), b[1]), batches)
    assert (objective.center_loss, objective.num_samples) == (pytest.approx(wanted, rel=1e-6), 18)


def test_a_batch_whose_labels_are_all_ignored_is_named():
    torch.manual_seed(0)
    batches = [(torch.randn(8, 4), torch.randint(3, (8,))) for _ in range(4)]
    batches[2][1].fill_(-100)
    with pytest.raises(InputError, match=r"batch 3 of 4 gives nan, for example because all of its labels are ignored"):
        _loss(nn.Linear(4, 3).eval(), lambda m, b: cross_entropy(m(b[0]), b[1]), batches)


def test_means_over_batches_of_several_lengths_are_refused_unless_their_weight_is_known():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 10)).eval()
    batches = [(ids := torch.randint(10, (4, n)), ids.roll(1, 1)) for n in (7, 3)]

    def loss(m, b):
        return cross_entropy(m(b[0]).flatten(0, 1), b[1].flatten())

    with pytest.raises(InputError, match=r"different sizes.*number of samples or labels.*count="):
        _loss(model, loss, batches)
    wanted = sum(b[0].numel() * float(loss(model, b).detach()) for b in batches) / 40
    assert _loss(model, loss, batches, count=lambda b: b[1].numel()) == pytest.approx(wanted, rel=1e-6)
    equal = [batches[0], (batches[0][0].flip(0), batches[0][1])]
    assert _loss(model, loss, equal) > 0


def test_losses_of_whole_batches_are_measured_where_batches_are_equal():
    """A contrastive loss is no mean over samples; batches of one size have equal weights whatever they count."""

    def loss(model, batch):
        outputs = nn.functional.normalize(model(batch[0]), dim=1)
        return cross_entropy(outputs @ outputs.T, torch.arange(len(outputs)))

    (batch, *_) = vectors()
    assert _loss(perceptron(), loss, [batch, batch]) == pytest.approx(float(loss(perceptron(), batch).detach()))
    with pytest.raises(InputError, match="count="):
        _loss(perceptron(), loss, vectors()[:2])


def test_batches_that_may_never_end_are_told_of(monkeypatch, caplog):
    from basinscope.landscape.module import first_passes

    monkeypatch.setattr(first_passes, "PATIENCE", 0.0)
    (batch, *_) = vectors()
    bs.Objective(perceptron(), sample_losses, lambda: (batch for _ in range(1002))).check()
    assert caplog.text.count("if they never end, pass a list") == 1


def test_a_mean_with_its_count_is_no_sum():
    def loss(model, batch):
        return mean_loss(model, batch), len(batch[1])

    with pytest.raises(InputError, match=r"returns \(mean, count\), where a pair must be \(sum of losses, count\)"):
        _loss(perceptron(), loss, vectors())


def test_a_sum_with_a_penalty_on_the_weights_is_recognised():
    def loss(model, batch):
        return sample_losses(model, batch).sum() + 1e-3 * sum(p.square().sum() for p in model.parameters())

    (batch, *_) = vectors()
    for batches in (vectors(), [batch, batch]):
        with pytest.raises(InputError, match="returns the sum over a batch"):
            _loss(perceptron(), loss, batches)

    def penalised(model, batch):
        return mean_loss(model, batch) + 1e-3 * sum(p.square().sum() for p in model.parameters())

    assert _loss(perceptron(), penalised, vectors()) > _loss(perceptron(), mean_loss, vectors())


def test_metrics_may_be_plain_numbers():
    metrics = {"error": lambda m, b: (m(b[0]).argmax(1) != b[1]).double().mean().item()}
    found = bs.slice1d(
        bs.Objective(perceptron(), sample_losses, vectors(), metrics=metrics),
        num_directions=1,
        resolution=3,
        progress=False,
    )
    wrong = torch.cat([perceptron()(x).argmax(1) != y for x, y in vectors()]).double().mean()
    assert float(found["values"][0, 1, 0, 1]) == pytest.approx(float(wrong))
