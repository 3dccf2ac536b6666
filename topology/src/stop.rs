//! Stop: how a process is told to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use leadline_connectors::contract::BoxFuture;
use leadline_connectors::source_http::Stopping;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Ends the process: something is broken that a restart must mend.
pub(crate) type Fatal = Arc<dyn Fn(String) + Send + Sync>;

/// Whether a process was told to end, and why. The first word counts: what follows are its consequences.
#[derive(Default)]
pub(crate) struct Stop {
    /// Empty when nothing is wrong.
    why: watch::Sender<Option<String>>,
    signalled: AtomicBool,
}

impl Stop {
    /// Tells it; answers whether this was the first word.
    pub(crate) fn tell(&self, why: String) -> bool {
        self.why.send_if_modified(|told| {
            let is_first = told.is_none();
            if is_first {
                *told = Some(why);
            }
            is_first
        })
    }

    pub(crate) fn is_told(&self) -> bool {
        self.why.borrow().is_some()
    }

    /// What is wrong, if that is why.
    pub(crate) fn why(&self) -> Option<String> {
        self.why.borrow().clone().filter(|why| !why.is_empty())
    }

    /// Whether somebody outside wants it to end, at once.
    pub(crate) fn was_signalled(&self) -> bool {
        self.signalled.load(Ordering::Acquire)
    }

    /// Resolves when it is told.
    pub(crate) fn told(&self) -> BoxFuture<'static, ()> {
        let mut told = self.why.subscribe();
        Box::pin(async move {
            // A sender that is gone ends it as well.
            let _ = told.wait_for(Option::is_some).await;
        })
    }

    /// The same for every request that waits for something.
    pub(crate) fn stopping(self: &Arc<Self>) -> Stopping {
        let stop = Arc::clone(self);
        Arc::new(move || stop.told())
    }
}

/// Who calls it ends the process.
pub(crate) fn fatal(stop: &Arc<Stop>) -> Fatal {
    let stop = Arc::clone(stop);
    Arc::new(move |why| {
        if stop.tell(why.clone()) {
            tracing::error!(why, "leadline must stop");
        }
    })
}

/// SIGTERM and SIGINT tell it, as often as they come.
pub(crate) async fn wait_for_signals(stop: Arc<Stop>) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be waited for");
        return;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stop.signalled.store(true, Ordering::Release);
        stop.tell(String::new());
    }
}
