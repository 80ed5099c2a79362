"""How the errors begin of trials whose work was lost, as opposed to those that failed by themselves."""

LOST = "killed"  # the driver died before anything was saved: the parameters are tried again
CRASHED = "worker died"  # the worker process ended under the job: it counts as tried
