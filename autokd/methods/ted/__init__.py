"""Task-aware layer-wise distillation (TED, arXiv:2210.01351): filters that keep of a layer what helps the task."""

from autokd.methods.ted.learn import LearnFilters
from autokd.methods.ted.objectives import FilteredHidden, ProjectedHidden

__all__ = ["FilteredHidden", "LearnFilters", "ProjectedHidden"]
