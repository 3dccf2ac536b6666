//! Following: the thread that takes in settings as they come.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use crate::engine::Engine;
use crate::parts::Parts;

/// How long it is waited before settings that could not be read are asked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// Settings are taken in as they come, by a thread of their own; then the workers look again.
pub(crate) fn follow_settings(parts: &Parts, engine: Option<&Engine>) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let sender = Mutex::new(sender);
    parts.settings.on_change(move || {
        // The thread is gone only at shutdown.
        let _ = crate::engine::lock(&sender).send(());
    });
    let settings = Arc::downgrade(&parts.settings);
    let wake = engine.map(Engine::waker);
    let follow = move || {
        // What has come since they were opened was told to nobody.
        let mut is_behind = true;
        loop {
            let heard = match is_behind {
                true => receiver.recv_timeout(AGAIN),
                false => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let Some(settings) = settings.upgrade().filter(|_| heard != Err(RecvTimeoutError::Disconnected))
            else {
                return;
            };
            let failed = settings.refresh().err();
            if let Some(error) = failed.as_ref().filter(|_| !is_behind) {
                tracing::error!(%error, "settings cannot be taken in");
            }
            is_behind = failed.is_some();
            if let Some(wake) = &wake {
                wake();
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("settings".to_owned()).spawn(follow) {
        tracing::error!(%error, "settings are only read on demand");
    }
}
