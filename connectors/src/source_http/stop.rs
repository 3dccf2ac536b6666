//! The signal to stop, for everything that waits.

use tokio::sync::watch;

/// Raises the signal; dropping it does the same.
#[derive(Debug)]
pub struct StopTrigger(watch::Sender<bool>);

/// Tells that the process is about to end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// A signal and what raises it.
    pub fn pair() -> (StopTrigger, Self) {
        let (sender, receiver) = watch::channel(false);
        (StopTrigger(sender), Self(receiver))
    }

    /// Whether it has been raised.
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when it is raised.
    pub async fn stopped(&self) {
        let mut receiver = self.0.clone();
        // An error says that the trigger is gone, and with it whoever could have stopped us.
        let _ = receiver.wait_for(|stopped| *stopped).await;
    }
}

impl StopTrigger {
    /// Raises the signal.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}
