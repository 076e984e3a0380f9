from __future__ import annotations

import pytest
import torch

from cu_core.methods.peers import PEERS, sure_as_peers


def test_peers_are_found_by_a_plain_loop() -> None:
    draw = torch.Generator().manual_seed(1)
    agree, sure, agree_unseen, sure_unseen = (torch.rand(n, generator=draw) for n in (50, 50, 70, 70))
    found, usual = sure_as_peers(agree, sure, agree_unseen, sure_unseen)
    by_agreement = sorted(range(50), key=lambda j: float(agree[j]))
    unseen_by_agreement = sorted(range(70), key=lambda j: float(agree_unseen[j]))
    for i in range(50):
        place = by_agreement.index(i)
        first = min(max(place - PEERS // 2, 0), 50 - PEERS)
        rivals = [float(sure[j]) for j in by_agreement[first : first + PEERS]]
        rank = (sum(r < sure[i] for r in rivals) + 0.5) / PEERS
        place = sum(float(a) < float(agree[i]) for a in agree_unseen)
        start = min(max(place - PEERS // 2, 0), 70 - PEERS)
        answers = sorted(float(sure_unseen[j]) for j in unseen_by_agreement[start : start + PEERS])
        assert float(found[i]) == answers[round(float(rank) * (PEERS - 1))]
        low, high = (float(agree[by_agreement[k]]) for k in (first, first + PEERS - 1))
        within = sum(low <= float(a) <= high for a in agree_unseen) / 70
        assert float(usual[i]) == pytest.approx(min(1, within / (PEERS / 50)))


def test_rows_picked_for_standing_out_have_few_peers() -> None:
    usual, unseen, sure = torch.linspace(0, 1, 200), torch.linspace(0, 1, 300), torch.ones(300)
    assert sure_as_peers(usual, sure[:200], unseen, sure)[1].mean() > 0.9
    picked = sure_as_peers(usual / 10, sure[:200], unseen, sure)[1]  # ten times as many as chance would bring
    assert picked.mean() == pytest.approx(0.1, abs=0.02)


def test_one_row_finds_its_peers() -> None:
    one = torch.tensor([0.5])
    found, usual = sure_as_peers(one, torch.tensor([0.9]), torch.tensor([0.5, 0.5]), torch.tensor([0.2, 0.4]))
    assert float(found) in (pytest.approx(0.2), pytest.approx(0.4))
    assert float(usual) == 1
