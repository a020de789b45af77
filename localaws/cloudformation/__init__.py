"""CloudFormation of the local AWS: deploys the templates that an account gets, by the calls that AWS's handlers make.

web.py        what is asked of CloudFormation, taken out of the stream of requests
  service.py    stacks and change sets by name, and the calls about them
    template.py   a template's text: its parts, and what its functions give
    changes.py    what of a stack would change
    stack.py      a stack: applies a template resource by resource, and takes everything back when one fails
      known.py      the types of resources
        storage.py, identity.py, messages.py, functions.py, machines.py, watching.py, building.py   each some of them
      kinds.py      what a type is: made, changed, removed

A type, or a property of one, that is not known here fails the deployment: it is not ignored in silence.
"""
