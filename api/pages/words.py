"""Codes in words. Marked for translation here, translated where they are shown."""

from __future__ import annotations

from collections.abc import Mapping


def N_(text: str) -> str:  # noqa: N802 - gettext's own name for a text that is translated later
    return text


OUTCOMES = {
    "positive": N_("Positive"),
    "negative": N_("Negative"),
    "not_analysed": N_("Not analysed"),
    "failed": N_("Failed"),
    "waiting": N_("Waiting"),
}
IMAGE_STATES = {"waiting": N_("Waiting"), "in_work": N_("In work"), "finished": N_("Finished")}
DELIVERY_STATES = {
    "pending": N_("Pending"),
    "sent": N_("Sent"),
    "confirmed": N_("Confirmed"),
    "dead": N_("Given up"),
}
MODEL_STATES = {"active": N_("In charge"), "shadow": N_("On trial"), "idle": N_("Idle")}
AGREEMENT = {"agree": N_("Agree"), "disagree": N_("Disagree"), "unsure": N_("Unsure")}
TRUE_LABELS = {"pneumonia": N_("Pneumonia"), "no_pneumonia": N_("No pneumonia")}
QUEUES = {"inference": N_("Analysis"), "delivery": N_("Delivery")}
DRIFT = {
    "steady": N_("Steady"),
    "watch": N_("Watch"),
    "drift": N_("Drift"),
    "not_compared": N_("Not compared"),
}
RESULT_KINDS = {
    "secondary_capture": N_("Picture with overlay"),
    "report": N_("Structured report"),
    "report_3d": N_("Structured report (3D)"),
    "report_stone": N_("Structured report (Stone)"),
    "presentation_state": N_("Presentation state"),
    "segmentation": N_("Segmentation"),
    "encapsulated_pdf": N_("PDF report"),
    "study_summary": N_("Study summary"),
    "key_objects": N_("Key objects"),
    "rejection_note": N_("Rejection note"),
    "webhook_event": N_("Webhook event"),
    "hl7_message": N_("HL7 message"),
}
SCOPES = {
    "audit:read": N_("Read the books; patients come masked"),
    "phi:read": N_("See who the patients are, and search for them"),
    "predict": N_("Give images to the prediction service"),
    "feedback:write": N_("Say whether a prediction was right"),
    "jobs:write": N_("Retry, requeue, re-analyse, acknowledge"),
    "admin": N_("Keep the keys"),
}
REMARKS = {
    "own_result": N_("A result of this service that came back"),
    "not_a_radiograph": N_("Neither a computed nor a digital radiograph"),
    "secondary_capture": N_("A secondary capture, nobody's acquisition"),
    "for_processing": N_("Raw detector data; the image for presentation is the one to send"),
    "multi_frame": N_("More than one frame"),
    "colour": N_("Not a single channel of grey"),
    "burned_in_annotation": N_("Text is burned into the pixels"),
    "wrong_body_part": N_("The header names another part of the body than the chest"),
    "lateral_view": N_("A lateral view; the model knows frontal ones"),
    "unsupported_view": N_("An oblique, decubitus or other view; the model knows frontal ones"),
    "view_unknown": N_("The header does not say whether this is a frontal view"),
    "view_contradicted": N_("The header contradicts itself about the view"),
    "unusual_orientation": N_("Mirrored or on its side; the model knows upright images"),
    "body_part_unknown": N_("The header does not say that this is a chest"),
    "age_outside_training_population": N_("The patient's age lies outside what the model was trained on"),
    "age_unknown": N_("The header does not tell the age"),
    "low_resolution": N_("Fewer pixels than the model needs"),
    "low_contrast": N_("Very little contrast"),
    "near_threshold": N_("The probability lies close to the threshold"),
    "blank_image": N_("Every pixel has the same value"),
    "window_guessed": N_("The window was missing or unusable and had to be guessed"),
    "rescale_ignored": N_("Rescale Slope is 0 and was ignored"),
    "polarity_contradictory": N_("The header contradicts itself about which grey is white"),
    "spacing_ignored": N_("The pixel spacing is impossible and was ignored"),
    "unusual_image": N_("Differs from most radiographs that the model knows"),
    "not_a_known_radiograph": N_("Not like any radiograph that the model knows"),
    "views_disagree": N_("Slightly changed views of the picture get clearly different answers"),
    "patient_conflict": N_("The study is already known under another patient"),
    "worker_lost": N_("The worker was lost each time it analysed this image"),
    "analysis_failed": N_("The analysis failed"),
    "file_missing": N_("The image's file is gone"),
    "erased": N_("Erased"),
    "invalid_uid": N_("A UID is invalid"),
    "already_answered": N_("The model has answered already"),
    "undecodable_pixels": N_("The pixels cannot be decoded"),
    "unreadable_dicom": N_("The file is no readable DICOM"),
    "unreadable_image": N_("The file is no readable image"),
    "unreadable": N_("The file cannot be read"),
    "unsupported_transfer_syntax": N_("Its compression is not supported"),
}
TROUBLES = {
    "no_answer": N_("No answer"),
    "no_connection": N_("No connection"),
    "no_association": N_("No association was possible"),
    "association_rejected": N_("The association was rejected"),
    "association_rejected_for_now": N_("The association was rejected for now"),
    "association_lost": N_("The association was lost"),
    "no_accepted_context": N_("The destination does not take this kind of object"),
    "tls_refused": N_("TLS failed: check certificates on both sides"),
    "unknown_host": N_("The host name is not known"),
    "unknown_destination": N_("The destination is not in the configuration any more"),
    "not_usable_as_configured": N_("The destination cannot be used as configured"),
    "out_of_resources": N_("The destination is out of resources"),
    "refused": N_("Refused"),
    "sop_class_not_supported": N_("The destination does not support this kind of object"),
    "invalid_sop_instance": N_("The destination calls the object invalid"),
    "not_authorised": N_("The destination does not allow us to store"),
    "data_set_does_not_match_sop_class": N_("The destination finds the object at odds with its class"),
    "cannot_understand": N_("The destination cannot understand the object"),
    "not_in_pacs": N_("The destination lost it each time it was sent"),
    "answer_too_long": N_("The destination's answer is too long"),
    "answer_no_dicom_json": N_("The destination's answer cannot be read"),
    "too_many_matches": N_("The destination's answer has too many matches"),
    "other_content": N_("The destination has other content under this UID"),
    "not_in_answer": N_("The destination's answer does not mention the object"),
    "application_error": N_("The receiving system reports an error"),
    "application_reject": N_("The receiving system rejected the message"),
    "commit_error": N_("The receiving system could not take the message"),
    "commit_reject": N_("The receiving system rejected the message"),
    "unconfirmed": N_("The destination does not say that it has the object"),
    "recalled": N_("Withdrawn"),
    "erased": N_("Erased"),
    "no_folder": N_("The folder is not there"),
    "no_space": N_("No space left"),
    "not_writable": N_("The folder cannot be written to"),
    "invalid_uid": N_("A UID is invalid"),
    "http_401": N_("The destination asks for other credentials (401)"),
    "http_403": N_("The destination forbids it (403)"),
    "http_404": N_("The address leads nowhere (404)"),
    "unsupported_transfer_syntax": N_("Its compression is not supported"),
    "sop_class_not_received": N_("This kind of object is not taken"),
    "disk_reserve_reached": N_("The disk is nearly full"),
    "no_data_set": N_("Nothing but the command came"),
    "unreadable": N_("The file cannot be read"),
    "uid_missing": N_("A UID is missing"),
    "uid_invalid": N_("A UID is invalid"),
    "value_too_long": N_("A value is longer than DICOM allows"),
    "uid_differs_from_command": N_("The object is not the one that was announced"),
    "sop_class_differs_from_context": N_("The object is not of the kind that was agreed on"),
}
EVENTS = {
    "instance.received": N_("Image received"),
    "instance.conflict": N_("Same UID with other content received"),
    "instance.refused": N_("Image refused"),
    "instances.retrieved": N_("Images retrieved by DICOM"),
    "upload.received": N_("Image uploaded"),
    "prediction.positive": N_("Analysed: positive"),
    "prediction.negative": N_("Analysed: negative"),
    "prediction.not_analysed": N_("Not analysed"),
    "prediction.failed": N_("Analysis failed"),
    "prediction.served": N_("Answer served"),
    "prediction.recalled": N_("Answer withdrawn"),
    "shadow.failed": N_("Model on trial failed"),
    "job.retried": N_("Analysis tried again"),
    "job.requeued": N_("Another analysis asked for"),
    "study.reported": N_("Results released"),
    "study.reanalysed": N_("Re-analysis asked for"),
    "study.rejected": N_("Rejection note made"),
    "study.patient_conflict": N_("Patient conflict"),
    "study.concluded": N_("Results about the study made"),
    "study.conclusion_failed": N_("Study summary failed"),
    "study.erased": N_("Patient's data erased"),
    "study.returned": N_("Came again after it was erased"),
    "delivery.sent": N_("Sent"),
    "delivery.confirmed": N_("Confirmed by the destination"),
    "delivery.unconfirmed": N_("Not confirmed by the destination"),
    "delivery.absent": N_("The destination lost it; it is sent again"),
    "delivery.dead": N_("Delivery given up"),
    "delivery.requeued": N_("Delivery queued again"),
    "feedback.given": N_("Feedback given"),
    "association.refused": N_("Caller rejected"),
    "query.answered": N_("DICOM query answered"),
    "query.refused": N_("DICOM query refused"),
    "retrieve.refused": N_("Retrieval by DICOM refused"),
    "commitment.requested": N_("Storage commitment asked for"),
    "commitment.answered": N_("Storage commitment answered"),
    "commitment.refused": N_("Storage commitment refused"),
    "commitment.unknown": N_("Storage commitment that nobody asked for"),
    "commitment.dead": N_("Storage commitment given up"),
    "own_result.returned": N_("Own result came back"),
    "api.read": N_("Read"),
    "api.exported": N_("Exported"),
    "api.refused": N_("Request refused"),
    "session.started": N_("Signed in"),
    "session.ended": N_("Signed out"),
    "session.refused": N_("Sign-in refused"),
    "key.created": N_("Key created"),
    "key.revoked": N_("Key revoked"),
    "model.added": N_("Model added"),
    "model.registered": N_("Model registered"),
    "model.activated": N_("Model put in charge"),
    "model.shadowed": N_("Model put on trial"),
    "model.idled": N_("Model put aside"),
    "model.recalled": N_("Model withdrawn"),
    "model.taken_up": N_("Model taken up by a worker"),
    "model.unavailable": N_("Model not available to a worker"),
    "alert.opened": N_("Alert opened"),
    "alert.closed": N_("Alert closed"),
    "alert.acknowledged": N_("Alert acknowledged"),
    "chain.verified": N_("Chain verified"),
    "chain.broken": N_("Chain broken"),
    "anchor.failed": N_("The chain could not be anchored"),
    "application.started": N_("Service started"),
    "application.stopped": N_("Service stopped"),
    "pull.started": N_("Back-fill started"),
    "pull.resumed": N_("Back-fill resumed"),
    "pull.finished": N_("Back-fill finished"),
}
ALERTS = {
    "image_waiting": N_("An image waits too long"),
    "pacs_down": N_("A destination takes nothing"),
    "dead_letters": N_("Results were given up"),
    "unconfirmed": N_("Results stay unconfirmed"),
    "refusal_rate": N_("Many images may not be judged"),
    "failed_images": N_("Images failed"),
    "drift": N_("A source has changed"),
    "disk_low": N_("Disk space runs out"),
    "worker_silent": N_("A worker is silent"),
    "chain_broken": N_("The audit trail was changed"),
    "witness_behind": N_("The audit trail is not told outside"),
}
REFUSALS = {
    "calling_ae_title_unknown": N_("Unknown calling AE title"),
    "called_ae_title_unknown": N_("Called us by another AE title"),
    "address_not_allowed": N_("This address may not use the AE title"),
    "too_many_associations": N_("Too many associations at once"),
}
KEY_STATES = {"valid": N_("Valid"), "expired": N_("Expired"), "revoked": N_("Revoked")}
KEY_ERRORS = {
    "invalid": N_(
        "A key needs something it may do, and a name: a letter or digit, then letters, digits, spaces, dots, dashes or "
        "underscores."
    ),
    "conflict": N_("There is or was a key of this name. Choose another one."),
    "scope_missing": N_("You cannot grant what you may not do yourself."),
    "invalid_request": N_("That was not possible: check name and expiry."),
}
ERRORS = {
    "400": N_("This request was not understood"),
    "401": N_("Please sign in"),
    "403": N_("You may not do this"),
    "404": N_("There is no such page"),
    "405": N_("This page does not take that"),
    "409": N_("That does not fit how things are now"),
    "413": N_("Too large"),
    "422": N_("This request was not understood"),
    "429": N_("Too many requests"),
    "500": N_("The service failed to answer"),
    "503": N_("The service cannot answer now"),
}
NOTICES = {
    "feedback_given": N_("Thank you, the feedback is kept."),
    "requeued": N_("The delivery is queued again."),
    "under_way": N_("A worker is at it right now; nothing was changed."),
    "retried": N_("The image will be analysed again."),
    "reanalysed": N_("The study will be analysed again."),
    "nothing_to_do": N_("There was nothing to do."),
    "acknowledged": N_("The alert is acknowledged."),
    "key_revoked": N_("The key is revoked."),
    "refused": N_("That was not possible: it does not fit how things are now."),
}
FEEDBACK_ERRORS = {
    "contradiction": N_("Not kept: what the image shows contradicts agreeing or disagreeing with the answer."),
    "invalid": N_(
        "Not kept: it needs agree, disagree or unsure, a comment of at most 2,000 characters and a name of at most 64, "
        "without control characters."
    ),
}
SIGN_IN_ERRORS = {
    "refused": N_("This key is not valid: unknown, revoked or expired."),
    "too_many": N_("Too many attempts. Wait a minute, then try again."),
    "no_scopes": N_("Your account has no rights here. Ask whoever keeps the keys."),
    "elsewhere": N_("The form came from another site. Please use this one."),
    "issuer_away": N_("The sign-in service does not answer. Try again later, or use a key."),
    "issuer_refused": N_("The sign-in service did not let you in."),
    "stale": N_("That took too long, or was begun in another browser. Please try again."),
}
TABLES: Mapping[str, Mapping[str, str]] = {
    "outcome": OUTCOMES,
    "image": IMAGE_STATES,
    "delivery": DELIVERY_STATES,
    "model": MODEL_STATES,
    "agreement": AGREEMENT,
    "truth": TRUE_LABELS,
    "queue": QUEUES,
    "drift": DRIFT,
    "result": RESULT_KINDS,
    "scope": SCOPES,
    "remark": REMARKS,
    "trouble": TROUBLES,
    "event": EVENTS,
    "alert": ALERTS,
    "refusal": REFUSALS,
    "key": KEY_STATES,
    "key_error": KEY_ERRORS,
    "error": ERRORS,
    "notice": NOTICES,
    "feedback_error": FEEDBACK_ERRORS,
    "sign_in": SIGN_IN_ERRORS,
}


BEGINNINGS = {
    "gave_up_after_": N_("Tried for too long: %(rest)s"),
    "http_": N_("The destination answers with HTTP status %(rest)s"),
    "not_committed_": N_("The destination does not vouch for it (%(rest)s)"),
    "query_refused_": N_("The destination refused to look it up (%(rest)s)"),
    "commitment_refused_": N_("The destination refused to vouch for it (%(rest)s)"),
}
"""Of troubles whose code goes on with a number, or with another trouble."""
MASKED = N_("(masked)")


def words_for(table: str, code: str) -> tuple[str, str] | None:
    """In the language of the source, to be translated, and the rest of the code; None for a code without words here."""
    if (found := TABLES[table].get(str(code))) is not None:
        return found, ""
    for beginning, text in BEGINNINGS.items() if table == "trouble" else ():
        if code.startswith(beginning):
            return text, code.removeprefix(beginning)
    return None
