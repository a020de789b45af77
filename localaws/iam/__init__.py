"""Roles may do what their policies allow.

enforce            middleware before all services: refuses what is not allowed
required_rights    which rights a request needs
permissions        who calls, and which policies decide
policy_evaluation  decides: explicit deny, identity and boundary, resource policies, conditions
"""
