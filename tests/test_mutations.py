"""Each mutation of the engine still applies to the code as it is."""

import ast

import pytest

from tests.simulation.mutations import ROOT, Mutation
from tests.simulation.mutations.cases import CASES
from tests.simulation.mutations.inventions import INVENTIONS


@pytest.mark.full  # update the patches when the engine changes; a build does not wait for that
@pytest.mark.parametrize("mutation", [*CASES, *INVENTIONS], ids=lambda one: one.name)
def test_a_mutation_applies_and_is_still_python(mutation: Mutation) -> None:
    for change in mutation.changes:
        mutated = change.applied_to(ROOT)
        assert ast.dump(ast.parse(mutated)) != ast.dump(ast.parse((ROOT / change.path).read_text()))


def test_names_are_given_once() -> None:
    names = [mutation.name for mutation in (*CASES, *INVENTIONS)]
    assert len(set(names)) == len(names)
