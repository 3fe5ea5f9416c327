"""Owns the training loop: Muon and AdamW on a schedule that follows the clock, resumable."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .model import Config, Nano
from .muon import Muon


def rate(progress: float, hold: float) -> float:
    """Share of the full learning rate: a short warm-up, a plateau, a straight way down."""
    if progress < 0.02:
        return max(progress / 0.02, 0.02)
    if progress < hold:
        return 1.0
    return max((1.0 - progress) / (1.0 - hold), 0.0)


def resized(old: dict[str, Tensor], new: dict[str, Tensor]) -> dict[str, Tensor]:
    """Fit the feed-forward layers of a checkpoint to another width.

    Growing leaves what the network computes as it was: the units that are added say nothing yet.
    Shrinking keeps the units with the largest weights.
    """
    out = dict(old)
    for name in [n for n in old if n.endswith("gate.weight")]:
        stem = name.removesuffix("gate.weight")
        gate, up, down = (old[stem + part] for part in ("gate.weight", "up.weight", "down.weight"))
        width = new[name].shape[0]
        if width < len(gate):
            keep = (gate.norm(dim=1) * up.norm(dim=1) * down.norm(dim=0)).topk(width).indices
            gate, up, down = gate[keep], up[keep], down[:, keep]
        else:
            more = width - len(gate)
            gate = torch.cat((gate, new[name][:more] * gate.std() / new[name].std()))
            up = torch.cat((up, new[stem + "up.weight"][:more] * up.std() / new[name].std()))
            down = torch.cat((down, down.new_zeros(len(down), more)), dim=1)
        out |= {name: gate, stem + "up.weight": up, stem + "down.weight": down}
    return out


class Trainer:
    """Holds the model, its optimisers and a running average of its weights."""

    def __init__(self, args: argparse.Namespace) -> None:
        torch.manual_seed(args.seed)
        self.args = args
        self.model = Nano(Config(hidden=args.hidden))
        blocks = [p for n, p in self.model.named_parameters() if p.dim() == 2 and "embed" not in n]
        rest = [p for n, p in self.model.named_parameters() if p.dim() != 2 or "embed" in n]
        self.optims: list[torch.optim.Optimizer] = [
            Muon(blocks, lr=args.muon_lr, weight_decay=0.05),
            torch.optim.AdamW(rest, lr=args.adam_lr, betas=(0.9, 0.95), weight_decay=0.0),
        ]
        self.full = [args.muon_lr, args.adam_lr]
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.step = 0
        self.spent = 0.0
        if args.compile:
            torch._dynamo.config.recompile_limit = 64  # one for every row length
            for block in self.model.blocks:
                block.compile(dynamic=False)

    def loss(self, ids: Tensor, taught: Tensor) -> Tensor:
        """Cross-entropy on the taught tokens."""
        keep = taught.roll(-1, 1)
        keep[:, -1] = False
        h = self.model.hidden(ids)[keep]
        return F.cross_entropy(F.linear(h, self.model.embed.weight), ids.roll(-1, 1)[keep])

    def update(self, progress: float) -> None:
        """One step of both optimisers and of the average."""
        share = rate(progress, self.args.hold)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for opt, full in zip(self.optims, self.full, strict=True):
            for group in opt.param_groups:
                group["lr"] = full * share
            opt.step()
            opt.zero_grad(set_to_none=True)
        with torch.no_grad():
            keep = min(0.99, self.step / (self.step + 10))
            for k, v in self.model.state_dict().items():
                self.average[k].lerp_(v, 1.0 - keep)
        self.step += 1

    def save(self, path: Path) -> None:
        """Write a checkpoint that a later run can go on from."""
        state = {"config": asdict(self.model.c), "model": self.model.state_dict(), "average": self.average,
                 "optims": [o.state_dict() for o in self.optims], "step": self.step, "spent": self.spent}
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def load(self, path: Path, fresh_clock: bool) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, weights_only=True)
        if state["config"]["hidden"] == self.model.c.hidden:
            self.average = state["average"]
            for opt, saved in zip(self.optims, state["optims"], strict=True):
                opt.load_state_dict(saved)
        else:
            state["model"] = resized(state["model"], self.model.state_dict())
            self.average = {k: v.clone() for k, v in state["model"].items()}
        self.model.load_state_dict(state["model"])
        self.step = state["step"]
        self.spent = 0.0 if fresh_clock else state["spent"]


def run(args: argparse.Namespace) -> None:
    """Train until the clock says stop."""
    torch.set_num_threads(args.threads)
    batches, held = plan(args)
    trainer = Trainer(args)
    if args.checkpoint.exists():
        trainer.load(args.checkpoint, args.fresh_clock)
    budget, began, base = args.minutes * 60, time.monotonic(), trainer.spent
    saved = shown = began
    recent: list[float] = []
    while trainer.spent < budget:
        ids, taught = batches[trainer.step % len(batches)]
        loss = trainer.loss(torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(taught))
        loss.backward()
        trainer.update(trainer.spent / budget)
        recent.append(loss.item())
        now = time.monotonic()
        trainer.spent = base + now - began
        if now - shown > 30 or trainer.step < 4:
            print(f"step {trainer.step} of {len(batches)}, {trainer.spent / 60:.1f} min, loss "
                  f"{np.mean(recent):.4f}", flush=True)
            shown, recent = now, []
        if now - saved > args.save_seconds:
            saved = now
            with torch.no_grad():
                held_loss = trainer.loss(torch.from_numpy(held[0].astype(np.int64)), torch.from_numpy(held[1]))
            print(f"  held-out loss {held_loss.item():.4f}", flush=True)
            trainer.save(args.checkpoint)
    trainer.save(args.checkpoint)
    print(f"done: {trainer.step} steps, {trainer.step * args.tokens / 1e6:.1f} M tokens", flush=True)


def plan(args: argparse.Namespace) -> tuple[list[tuple[Any, Any]], tuple[Any, Any]]:
    """Cut the rows of every length into batches of one size and shuffle them."""
    packed = np.load(args.data)
    rng = np.random.default_rng(args.seed)
    batches = []
    held = None
    for key in [k for k in packed.files if k.startswith("x")]:
        x, m = packed[key], packed["m" + key[1:]]
        rows = max(args.tokens // x.shape[1], 1)
        order = rng.permutation(len(x))
        for at in range(0, len(x) - rows + 1, rows):
            pick = order[at : at + rows]
            if held is None:
                held = (x[pick], m[pick])
            else:
                batches.append((x[pick], m[pick]))
    assert held is not None
    return [batches[i] for i in rng.permutation(len(batches))], held


def main() -> None:
    """Parse the command line and train."""
    ap = argparse.ArgumentParser(description="train Distiller Nano")
    ap.add_argument("data", type=Path)
    ap.add_argument("checkpoint", type=Path)
    ap.add_argument("--minutes", type=float, default=60.0)
    ap.add_argument("--tokens", type=int, default=6144, help="tokens in a batch")
    ap.add_argument("--hidden", type=int, default=Config.hidden, help="feed-forward width; a checkpoint is fitted")
    ap.add_argument("--save-seconds", type=float, default=240.0)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--muon-lr", type=float, default=7e-3)
    ap.add_argument("--adam-lr", type=float, default=3e-3)
    ap.add_argument("--hold", type=float, default=0.7, help="share of the time before the decay")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--fresh-clock", action="store_true", help="restart the schedule of a checkpoint")
    ap.add_argument("--no-compile", dest="compile", action="store_false")
    run(ap.parse_args())


if __name__ == "__main__":
    main()
