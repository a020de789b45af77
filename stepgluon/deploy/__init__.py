"""Deploys a Release to an account, and removes it again: decide, then act.

release         everything to deploy, from the config alone: templates/, objects and images
plan            all changes, as a value, in words and as JSON   (definition_diff: state by state)
apply           deploys
  account_checks  checks the credentials and the account's limits
  stacks          CloudFormation through change sets   (stack_events: follows them; changes: what
                  would be lost; stack_words: about interrupted and failed changes)
  images          finds and builds missing images
destroy         removes the deployment
"""
