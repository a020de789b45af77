"""The generator: from one YAML file to a state machine, to an account, and to a run.

pipeline-config.yml
  config/     text -> PipelineConfig, all problems at once
pipeline.py   the workflow, with
  workflow/   PipelineConfig -> states -> definition, checked by
  selfcheck/  AWS's rules, and harder ones
  graph/      its picture
the definition goes two ways, and both are one
  deploy/     decide, then act: templates and policies, plan, apply, destroy
  verify/     ask AWS whether a deployment would work, and create nothing
  local/      a run on this computer: deployed in the same way to localaws, a package of its own
runs/         what becomes of it: start, follow, take up, promote, roll back
cli/          words in, files and exit codes out

names         what everything is called
limits        what the services allow, and our own limits
errors        every error a user can meet
aws           the one door to AWS
advice        the commands that messages and mails advise
gc_control    Python's garbage collector, paused where it only costs time

What runs elsewhere imports nothing from here: code/ (the jobs), lambda/ (starts runs, mails failures). policy/ has the
roles, docker/ the images.
"""

__version__ = "0.1.0"
