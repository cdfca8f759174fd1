"""An explanation that takes minutes, until it is interrupted: `python -m helpers.interrupted`.

Prints "started" once it runs, and its CPU time in seconds when it hears the interrupt.
"""

import signal
import time

import torch
import transformers

from calig_fast import Explainer

INPUTS, TOKENS = 8, 128


def main() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell runs in the background
    config = transformers.BertConfig(
        vocab_size=100, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    ids = torch.randint(5, 100, (INPUTS, TOKENS), generator=torch.Generator().manual_seed(0))
    model = transformers.BertForSequenceClassification(config).eval()
    explainer = Explainer(model, tolerance=1e-9, n_steps=4096)
    print("started", flush=True)
    try:
        explainer({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    except KeyboardInterrupt:
        print(time.process_time(), flush=True)


if __name__ == "__main__":
    main()
