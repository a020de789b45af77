"""From a Release to an account where it runs, and back: decide, then act.

release         all that a deployment consists of, from the config alone: templates/, objects and images
plan            all that would change, as a value, in words and as JSON   (definition_diff: state by state)
apply           does it
  account_checks  whose credentials these are, and what the account allows
  stacks          CloudFormation by change sets   (stack_events: following them; changes: what one would lose)
  images          which images are missing, and who builds them
destroy         the way back
"""
