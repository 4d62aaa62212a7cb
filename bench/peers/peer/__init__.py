"""The micro vision-language model, its encoder and its tokenizers in plain Python torch: what asvr is measured against.

Modules load asvr's checkpoints by their own names, so that both sides can start from the same weights and be held
against each other.
"""
