"""From the text of a config to its PipelineConfig, with all its problems at once.

load              a file, or its text
reader            the stages in order
  yaml_tree         the text becomes one tree of nodes, or what is wrong with it
  nodes             a node of that tree, and where it stands
  yaml_errors       sentences for what YAML's parser refuses
  scalars           values as a user means them: what YAML 1.1 and 1.2 read differently is refused
  generated_models  models made from the values of a column
  messages          pydantic's findings in words, with "did you mean"
  rules             over a whole config; model_rules: over its models
schema            what it can say; durations: 90s, 10m, 1h; json_schema: for editors
source            a config with what is known of its file
aws_facts         partitions, regions and instance types
"""

import os

# pydantic looks for plugins in the metadata of every installed package, which is a third of the schema's import.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
