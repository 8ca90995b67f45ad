"""Codes of DICOM audit messages (PS3.16 CID 400 to 405; PS3.15 A.5.1.2)."""

from __future__ import annotations

from worker.audit_xml import Coded


def _dcm(code: str, meaning: str) -> Coded:
    return Coded(code, "DCM", meaning)


# Events, CID 400
APPLICATION_ACTIVITY = _dcm("110100", "Application Activity")
AUDIT_LOG_USED = _dcm("110101", "Audit Log Used")
INSTANCES_ACCESSED = _dcm("110103", "DICOM Instances Accessed")
INSTANCES_TRANSFERRED = _dcm("110104", "DICOM Instances Transferred")
STUDY_DELETED = _dcm("110105", "DICOM Study Deleted")
EXPORT = _dcm("110106", "Export")
IMPORT = _dcm("110107", "Import")
QUERY = _dcm("110112", "Query")
SECURITY_ALERT = _dcm("110113", "Security Alert")
USER_AUTHENTICATION = _dcm("110114", "User Authentication")

# What exactly, CID 401
APPLICATION_START = _dcm("110120", "Application Start")
APPLICATION_STOP = _dcm("110121", "Application Stop")
LOGIN = _dcm("110122", "Login")
LOGOUT = _dcm("110123", "Logout")
NODE_AUTHENTICATION = _dcm("110126", "Node Authentication")
SOFTWARE_CONFIGURATION = _dcm("110131", "Software Configuration")
USE_OF_RESTRICTED_FUNCTION = _dcm("110132", "Use of Restricted Function")
OBJECT_SECURITY_ATTRIBUTES_CHANGED = _dcm("110135", "Object Security Attributes Changed")
USER_SECURITY_ATTRIBUTES_CHANGED = _dcm("110137", "User Security Attributes Changed")

# Roles of participants, CID 402
APPLICATION = _dcm("110150", "Application")
DESTINATION = _dcm("110152", "Destination Role ID")
SOURCE = _dcm("110153", "Source Role ID")
DESTINATION_MEDIA = _dcm("110154", "Destination Media")
SOURCE_MEDIA = _dcm("110155", "Source Media")

# What the id of an object is, CID 404 and A.5.1.2.4
STUDY_INSTANCE_UID = _dcm("110180", "Study Instance UID")
SOP_CLASS_UID = _dcm("110181", "SOP Class UID")
NODE_ID = _dcm("110182", "Node ID")
PATIENT_NUMBER = Coded("2", "RFC-3881", "Patient Number")
URI = Coded("12", "RFC-3881", "URI")
AUDIT_EVENT_ID = Coded("audit-event", "99PNEUMO", "Audit Event ID")

# Media, CID 405
MEDIA_URI = _dcm("110037", "URI")


def kind_of_event(kind: str) -> Coded:
    """Our own word for what happened, as it stands in the audit log."""
    return Coded(kind, "99PNEUMO", kind)
