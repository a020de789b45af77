"""Roles may do what their policies allow.

enforce            middleware before all services: refuses calls that are not allowed
required_rights    which rights a request needs
permissions        identifies the caller, and finds the policies that decide
policy_evaluation  decides: explicit deny, identity and boundary, resource policies, conditions
"""
