"""CloudFormation documents: each is a function of the names (and so of the config) that returns a dict.

base      the base stack: both buckets, image repositories, the boundary of all roles
pipeline  the pipeline stack: trigger, state machine, mails
endpoints what endpoints need of both: alarms, and how long captured rows are kept
cicd      the stack that deploys a push
policies  policy/*.json, filled in for one pipeline; policy_values: what their placeholders stand for
parts     shared by all documents, and a document as the bytes that are sent
"""
