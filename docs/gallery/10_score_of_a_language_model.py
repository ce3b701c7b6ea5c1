"""A small language model by a score instead of its loss: how far until half of its predictions are wrong?"""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import basinscope as bs

NO_SPECIAL = {"bos_token_id": None, "eos_token_id": None, "loss_type": "ForCausalLM"}
torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_head=2, n_embd=32, n_positions=12, vocab_size=10, **NO_SPECIAL))
tokens = (torch.arange(10)[:, None, None] + torch.arange(1, 4)[:, None] * torch.arange(12)).reshape(-1, 12) % 10
batches, optimizer = [{"input_ids": tokens, "labels": tokens}], torch.optim.Adam(model.parameters(), 3e-3)
for _ in range(150):
    model(**batches[0]).loss.backward()
    optimizer.step(), optimizer.zero_grad()


def wrong(model, batch):  # the score of each sequence; the step is known from the second token on
    return (model(batch["input_ids"]).logits[:, 1:-1].argmax(-1) != batch["labels"][:, 2:]).float().mean(1)


objective = bs.Objective(model.eval(), lambda model, batch: model(**batch).loss, batches)
score = bs.Objective(model, wrong, batches, unit="share of wrong tokens")
rays = score.random_directions(0, range(8))
length = sum(float(rays[0].block(k).norm() ** 2) for k in range(len(score.filters))) ** 0.5  # all are equally long
worst = bs.sharpness(objective, rho=0.02 * length, num_restarts=1, num_random=0, vectors=True)["worst_vector"] / 0.02
radii = bs.basin_radius(score, cutoff=0.5, directions=[*rays, worst])["radius"]
print(f"random {radii[:-1].median():.2f}, worst case {radii[-1]:.3f}: {score.num_evaluations} passes")
bs.plot(bs.slice1d(score, directions=[*rays[:2], worst], extent=0.5)).savefig("10_rays.png")
