//! Bounded: calls that may never return, on a thread that can be left behind.
//!
//! librdkafka 2.12's `send_offsets_to_transaction` takes a time-out and does not keep it: when the broker that
//! coordinates the group leaves the cluster while it is asked, the answer never comes (its issues 5456 and 5511).

use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

type Work = Box<dyn FnOnce() + Send>;

/// One thread, and what it is given to do.
pub(super) struct Bounded {
    work: Sender<Work>,
}

impl Bounded {
    /// Starts the thread. It ends when this is dropped, or, if a call hangs, with that call; then it drops what it was
    /// given to `keep`.
    pub(super) fn start(name: String, keep: impl Send + 'static) -> std::io::Result<Self> {
        let (work, todo) = channel::<Work>();
        let run = move || {
            while let Ok(work) = todo.recv() {
                work();
            }
            drop(keep);
        };
        std::thread::Builder::new().name(name).spawn(run)?;
        Ok(Self { work })
    }

    /// Makes a call and waits for what it answers; none if that does not come before the deadline. Then this is of no
    /// use any more: what is asked of it next would wait for the call that hangs.
    pub(super) fn call<T: Send + 'static>(
        &self,
        deadline: Instant,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = channel();
        let work = Box::new(move || {
            let _ = answer.send(call()); // Whoever asked may have gone.
        });
        self.work.send(work).ok()?;
        let left = deadline.saturating_duration_since(Instant::now());
        answered.recv_timeout(left.max(MOMENT)).ok()
    }
}

/// What a call gets whose deadline has passed.
const MOMENT: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_hangs_is_left_behind() {
        let bounded = Bounded::start("bounded".to_owned(), ()).unwrap();
        let soon = || Instant::now() + Duration::from_millis(50);
        assert_eq!(bounded.call(Instant::now() + Duration::from_secs(30), || 7), Some(7));
        let (hang, hung) = channel::<()>();
        assert_eq!(bounded.call(soon(), move || hung.recv().is_ok()), None);
        assert_eq!(bounded.call(soon(), || 8), None, "the thread is still out");
        drop(bounded);
        assert!(hang.send(()).is_ok(), "nobody waited for it");
    }
}
