"""Simulated histories of a firm and its QuickBooks company: reproducible from a seed.

    python -m tests.simulation --seed 7 --histories 100

The real engine on a real database, the simulator's books in this process, virtual time, and one
source of chance. `world` is where it happens, `acts` what people, bookkeepers and nature do, and
`check` what must hold whatever they did.
"""
