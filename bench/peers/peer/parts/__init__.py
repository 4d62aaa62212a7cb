"""The parts of the demo, each a function of a `Study`."""
