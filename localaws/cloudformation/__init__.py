"""CloudFormation of the local AWS: deploys templates with the calls that AWS's resource handlers make.

web                answers the requests for CloudFormation
service            its actions: stacks and change sets by name
template           parses a template, resolves its references
changes            what a template would change in a stack
stack              applies a template resource by resource; rolls back when one fails
resource_types     the types of resources, as a table
handlers, storage_handlers   the calls that need more than a table row

Unknown types and properties fail the change set; nothing is ignored.
"""
