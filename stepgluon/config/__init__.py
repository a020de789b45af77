"""Turns a config's text into a PipelineConfig, or reports all its problems at once.

load              entry point: loads a file, or its text
reader            the stages, in order
  yaml_tree         parses the text into a tree of nodes, or reports its problems
  nodes             a node of that tree, with its position
  yaml_errors       messages for YAML syntax errors
  scalars           scalar values; refuses what YAML 1.1 and 1.2 read differently
  generated_models  models generated from the values of a column
  messages          pydantic's errors in plain words, with "did you mean"
  rules             rules over a whole config; model_rules: over its models
schema            the keys of a config; durations: 90s, 10m, 1h; json_schema: for editors
source            a config with its positions in the file
aws_facts         partitions, regions and instance types
"""

import os

# pydantic looks for plugins in the metadata of every installed package, which is a third of the schema's import.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
