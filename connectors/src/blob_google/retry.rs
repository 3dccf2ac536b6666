//! What is sent again by Google's client.

use google_cloud_gax::error::Error;
use google_cloud_gax::retry_policy::RetryPolicy;
use google_cloud_gax::retry_result::RetryResult;
use google_cloud_gax::retry_state::RetryState;

/// Attempts of one upload in all, over all its pieces.
const ATTEMPTS_MAX: u32 = 8;

/// Sends again what the service has answered with an error that passes (408, 429, 5xx), as Google asks for, and nothing
/// else: a piece of an upload whose connection broke is lost in google-cloud-storage 1.21, which goes on with the next
/// one and notices when the object is made. Such an upload begins again from its source.
#[derive(Clone, Debug)]
pub(super) struct AnsweredErrors;

impl RetryPolicy for AnsweredErrors {
    fn on_error(&self, state: &RetryState, error: Error) -> RetryResult {
        match error.http_status_code() {
            Some(408 | 429 | 500..=599) if state.attempt_count >= ATTEMPTS_MAX => {
                RetryResult::Exhausted(error)
            }
            Some(408 | 429 | 500..=599) => RetryResult::Continue(error),
            _ => RetryResult::Permanent(error),
        }
    }
}
