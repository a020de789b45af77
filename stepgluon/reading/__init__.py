"""From the text of a config to its PipelineConfig, with all its problems at once.

loading       the stages in order
  yamltext      the text becomes one tree of nodes, or what is wrong with it
  nodes         a node of that tree, and where it stands
  syntax        sentences for what YAML's parser refuses
  scalars       values as a user means them: what YAML 1.1 and 1.2 read differently is refused
  generated     models made from the values of a column
  wording       pydantic's findings in words, with "did you mean"
durations     90s, 10m, 1h
model_checks  rules over the models; ../checks.py has those over the rest
"""
