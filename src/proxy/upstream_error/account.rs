//! Whom a refusal is about: the gateway's account and key at the provider, which are no client's business, or what was asked.
//!
//! Decided by what a provider writes in fields of its own and by how its own sentences begin, never by words that may stand
//! anywhere: a request's words come back in messages.

use super::body::ErrorBody;

/// Types, codes, statuses and reasons that are about an account, its key or its money.
const ABOUT_ACCOUNT: &[&str] = &[
    // OpenAI, Azure, DeepSeek.
    "insufficient_quota",
    "billing_not_active",
    "billing_hard_limit_reached",
    "invalid_api_key",
    "account_deactivated",
    "access_terminated",
    "insufficient_balance",
    // Anthropic.
    "authentication_error",
    "permission_error",
    "billing_error",
    // Gemini.
    "API_KEY_INVALID",
    "API_KEY_EXPIRED",
    "API_KEY_SERVICE_BLOCKED",
    "API_KEY_HTTP_REFERRER_BLOCKED",
    "API_KEY_IP_ADDRESS_BLOCKED",
    "ACCESS_TOKEN_EXPIRED",
    "BILLING_DISABLED",
    "CONSUMER_INVALID",
    "CONSUMER_SUSPENDED",
    "SERVICE_DISABLED",
    "USER_PROJECT_DENIED",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    // Bedrock.
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "ServiceQuotaExceededException",
    "UnrecognizedClientException",
];
/// How providers begin such refusals where no field of theirs says it.
const SENTENCES: &[&str] = &[
    "your credit balance is too low",
    "you have reached your specified api usage limits",
    "this organization has been disabled",
    "this credential is only authorized",
    "api key not valid",
    "api key expired",
    "api key not found",
    "your api key was reported as leaked",
    "gemini api free tier is not available",
    "imagen api is only accessible to billed users",
    "incorrect api key provided",
    "invalid api key",
    "you exceeded your current quota",
    "billing hard limit has been reached",
    "insufficient balance",
    "your account is not authorized",
    "the security token included in the request",
    "the request signature we calculated does not match",
];
/// Codes and types of a refusal of what was said, with a status that is about a key everywhere else.
const ABOUT_CONTENT: &[&str] = &[
    "content_filter",
    "content_moderation",
    "content_policy",
    "content_policy_violation",
    "data_inspection_failed",
    "moderation",
    "moderation_blocked",
    "moderation_error",
    "responsibleaipolicyviolation",
];
/// xAI gives its refusals of content the code of those of a key.
const CONTENT_SENTENCES: &[&str] = &["content violates usage guidelines"];

/// Whether a refusal is about our account or key. `exception` is the name that stands in a header.
pub(super) fn is_about_account(told: &ErrorBody, exception: Option<&str>) -> bool {
    names_one(told, exception, ABOUT_ACCOUNT) || begins_with(told, SENTENCES)
}

/// Whether a refusal is about what the client said.
pub(super) fn is_about_content(told: &ErrorBody) -> bool {
    told.is_moderated() || names_one(told, None, ABOUT_CONTENT) || begins_with(told, CONTENT_SENTENCES)
}

fn names_one(told: &ErrorBody, exception: Option<&str>, names: &[&str]) -> bool {
    told.names().chain(exception).any(|told| names.iter().any(|name| name.eq_ignore_ascii_case(told)))
}

fn begins_with(told: &ErrorBody, sentences: &[&str]) -> bool {
    let message = told.message().unwrap_or_default().to_ascii_lowercase();
    sentences.iter().any(|sentence| message.starts_with(sentence))
}

/// What precedes an account's name or number, or is the beginning of a key; and the fewest bytes that follow it then.
const ACCOUNT_MARKS: &[(&str, usize)] =
    &[("arn:aws", 20), ("projects/", 1), ("org-", 12), ("proj_", 12), ("sk-", 12), ("xai-", 12), ("AIza", 20)];
const REDACTED: &str = "[redacted]";

/// A message without our account's numbers, names and keys. A resource that has no account in its address keeps it.
pub(super) fn redacted(message: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || "\"'`,;()[]{}<>".contains(c);
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while !rest.is_empty() {
        let word = rest.split(is_end).next().unwrap_or_default();
        text.push_str(&redacted_word(word));
        rest = rest.get(word.len()..).unwrap_or_default();
        let mut chars = rest.chars();
        text.extend(chars.next());
        rest = chars.as_str();
    }
    text
}

fn redacted_word(word: &str) -> String {
    if is_uuid(word) {
        return REDACTED.to_owned();
    }
    let marks = ACCOUNT_MARKS.iter().flat_map(|(mark, least)| word.match_indices(mark).map(move |at| (at, *least)));
    let marked = marks.filter_map(|((at, mark), least)| {
        let begins = !word.get(..at)?.ends_with(|c: char| c.is_ascii_alphanumeric());
        let named = word.get(at + mark.len()..)?;
        let names = begins && named.len() >= least && (mark != "arn:aws" || has_account_number(named));
        names.then_some((at + mark.len(), mark, named))
    });
    let Some((end, mark, named)) = marked.min_by_key(|(end, ..)| *end) else { return word.to_owned() };
    // What follows the project is the resource that was asked for.
    let kept = Some(named).filter(|_| mark == "projects/").and_then(|named| named.get(named.find('/')?..));
    format!("{}{REDACTED}{}", word.get(..end).unwrap_or_default(), kept.map(redacted_word).unwrap_or_default())
}

/// xAI writes the ids of our team and key so.
fn is_uuid(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    let is_hex = |part: &&str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(is_hex)
}

/// Account numbers of AWS have twelve digits.
fn has_account_number(arn: &str) -> bool {
    arn.split(':').any(|part| part.len() == 12 && part.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(body: &serde_json::Value) -> ErrorBody {
        ErrorBody::parse(body.to_string().as_bytes())
    }

    #[test]
    fn a_refusal_of_our_account_is_known_by_its_fields_and_its_whole_sentences() {
        for told in [
            json!({ "error": { "type": "invalid_request_error",
                "message": "Your credit balance is too low to access the Anthropic API." } }),
            json!({ "error": { "type": "billing_error", "message": "x" } }),
            json!({ "error": { "type": "invalid_request_error", "code": "billing_hard_limit_reached" } }),
            json!([{ "error": { "status": "INVALID_ARGUMENT", "details": [{ "reason": "API_KEY_INVALID" }] } }]),
            json!({ "error": { "code": 400, "message": "API key expired. Please renew the API key." } }),
            json!({ "error": { "type": "requests", "status": "PERMISSION_DENIED" } }),
            json!({ "code": "Client specified an invalid argument",
                "error": "Incorrect API key provided: xa***zz." }),
        ] {
            assert!(is_about_account(&body(&told), None), "{told}");
        }
        assert!(is_about_account(&body(&json!({ "message": "x" })), Some("UnrecognizedClientException")));
    }

    #[test]
    fn words_that_a_request_may_have_are_not_about_our_account() {
        for message in [
            "Invalid schema for function 'get_billing_info': 'billing' is not of type 'object'.",
            "The tool `arn:aws:lambda:eu-west-1:123456789012:function:x` is unknown.",
            "Invalid value: 'your credit balance is too low'.",
            "Unknown field `api_key_invalid`.",
        ] {
            let told = body(&json!({ "error": { "message": message, "type": "invalid_request_error", "code": null } }));
            assert!(!is_about_account(&told, Some("ValidationException")), "{message}");
        }
    }

    #[test]
    fn a_refusal_of_content_is_known_and_one_of_a_key_is_none() {
        for told in [
            json!({ "error": { "code": 403, "message": "flagged", "metadata": { "reasons": ["harassment"] } } }),
            json!({ "error": { "code": 403, "message": "flagged", "metadata": { "flagged_input": "x" } } }),
            json!({ "error": { "code": "content_policy_violation", "message": "no" } }),
            json!({ "code": "The caller does not have permission to execute the specified operation",
                "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO" }),
        ] {
            assert!(is_about_content(&body(&told)) && !is_about_account(&body(&told), None), "{told}");
        }
        for told in [
            json!({ "error": { "code": 403, "message": "Key limit exceeded", "metadata": { "reasons": [] } } }),
            json!({ "error": { "message": "No access to moderation.", "type": "invalid_request_error" } }),
            json!({}),
        ] {
            assert!(!is_about_content(&body(&told)), "{told}");
        }
    }

    #[test]
    fn what_names_our_account_is_taken_out_of_a_message_and_the_rest_stays() {
        for (message, expected) in [
            (
                "User: arn:aws:sts::123456789012:assumed-role/r/s is not allowed",
                "User: arn:aws[redacted] is not allowed",
            ),
            (
                "model (arn:aws:bedrock:us-east-1::foundation-model/x), no",
                "model (arn:aws:bedrock:us-east-1::foundation-model/x), no",
            ),
            ("Publisher Model `projects/p-1/locations/x` was", "Publisher Model `projects/[redacted]/locations/x` was"),
            ("in organization org-abcdefghijklmnop on", "in organization org-[redacted] on"),
            ("key sk-proj-abcdefghijklmnop.", "key sk-[redacted]"),
            ("a task-1234567890123 of org-chart é", "a task-1234567890123 of org-chart é"),
            ("at https://h/v1/task-1?key=sk-0123456789abcd", "at https://h/v1/task-1?key=sk-[redacted]"),
            ("at h/projects/p1/x?key=AIzaSyA0123456789012345678901", "at h/projects/[redacted]/x?key=AIza[redacted]"),
            ("arn:aws:s3:::bucket/projects/p1", "arn:aws:s3:::bucket/projects/[redacted]"),
            (
                "Content violates usage guidelines. Team: 0b5f2c1e-1111-4222-8333-444455556666, API key ID: 9c5f2c1e-1111-4222-8333-444455556666, Failed check: SAFETY_CHECK_TYPE_BIO",
                "Content violates usage guidelines. Team: [redacted], API key ID: [redacted], Failed check: SAFETY_CHECK_TYPE_BIO",
            ),
        ] {
            assert_eq!(redacted(message), expected);
        }
    }
}
