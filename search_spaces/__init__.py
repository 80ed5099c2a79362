"""The search spaces that ship with autokd, one YAML file each; installed as ``autokd._spaces``."""
