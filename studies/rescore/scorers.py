"""Programs that score a deployed model in a process of its own, without autokd. See run.py.

Each is called with: folder of the model, file of texts (JSON), longest row in tokens, file for the logits, rows at a
time. Rows are padded to their own batch, in the order of the file.
"""

# A Hugging Face checkpoint, with transformers alone.
HF = """
import json, sys
sys.modules["autokd"] = None  # an import of it would fail
import torch
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, rows, length, output, size = sys.argv[1:]
size = int(size)
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
texts = json.load(open(rows))
found = []
with torch.inference_mode():
    for start in range(0, len(texts[0]), size):
        parts = [column[start : start + size] for column in texts]
        inputs = tokenizer(*parts, padding=True, truncation=True, max_length=int(length), return_tensors="pt")
        found.append(model(**inputs).logits)
save_file({"logits": torch.cat(found)}, output)
"""

# An ONNX graph, with onnxruntime and the folder's tokenizer.
ONNX = """
import json, sys
from pathlib import Path
sys.modules["autokd"] = sys.modules["torch"] = None  # an import of either would fail
import numpy as np
import onnxruntime
from safetensors.numpy import save_file
from transformers import AutoTokenizer
folder, rows, length, output, size = sys.argv[1:]
size = int(size)
(graph,) = Path(folder).glob("*.onnx")
session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
names = {each.name for each in session.get_inputs()}
tokenizer = AutoTokenizer.from_pretrained(folder)
texts = json.load(open(rows))
found = []
for start in range(0, len(texts[0]), size):
    parts = [column[start : start + size] for column in texts]
    made = tokenizer(*parts, padding=True, truncation=True, max_length=int(length), return_tensors="np")
    inputs = {name: value.astype(np.int64) for name, value in made.items() if name in names}
    found.append(session.run(None, inputs)[0])
save_file({"logits": np.concatenate(found)}, output)
"""

# The same for shapes that transformers knows with autokd alone.
OWN = HF.replace('sys.modules["autokd"] = None  # an import of it would fail', "import autokd.auto")
