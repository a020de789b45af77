"""CloudFormation documents: each a function from names (and so from the config) to a dict with concrete names in it.

base      what the others stand on: work bucket, image repositories, the boundary of all roles
pipeline  what runs: raw bucket, trigger, state machine, mails
cicd      what rebuilds it on a push
policies  policy/*.json, filled for one pipeline
parts     what all documents share
text      a document as the bytes that are sent
"""
