"""Roles may do what their policies allow.

enforce            the door before all services: refuses what is not allowed
required_rights    which rights a request needs
permissions        who calls, and which policies concern the call
policy_evaluation  decides: explicit deny, identity and boundary, resource policies, conditions
"""
