//! Gather: deliveries of one account that come together go in one request.
//!
//! Who comes first waits a moment for others, then sends for all of them. Whoever gives up waiting gives up alone; when the
//! one who sends is given up, the others hear that it may have arrived.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// How long the first one waits: little beside an answer of a CRM.
const LINGER: Duration = Duration::from_millis(20);

type Waiting<I, O> = Vec<(I, oneshot::Sender<O>)>;

/// Those who wait, by account.
#[derive(Debug)]
pub struct Gather<I, O> {
    waiting: Mutex<HashMap<String, Waiting<I, O>>>,
    most: usize,
}

impl<I: Send, O: Send> Gather<I, O> {
    /// For requests of at most so many.
    pub fn new(most: usize) -> Self {
        Self { waiting: Mutex::default(), most }
    }

    /// Sends `item` together with what waits; its own answer, or none when whoever sent it was given up. `send` answers
    /// for each, in their order.
    pub async fn send<F, A>(&self, account: &str, item: I, send: F) -> Option<O>
    where
        F: FnOnce(Vec<I>) -> A,
        A: Future<Output = Vec<O>>,
    {
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let queue = waiting.entry(account.to_owned()).or_default();
            queue.push((item, answer));
            queue.len() % self.most == 1 || self.most == 1
        };
        if is_first {
            let leading = Leading { gather: self, account, taken: false };
            tokio::time::sleep(LINGER).await;
            let (items, answers): (Vec<I>, Vec<_>) = leading.take().into_iter().unzip();
            let results = send(items).await;
            for (result, answer) in results.into_iter().zip(answers) {
                // Who has given up waiting hears nothing.
                let _ = answer.send(result);
            }
        }
        answered.await.ok()
    }
}

/// Whoever sends for the others. Given up before it has sent, it leaves nobody behind to wait for nothing.
struct Leading<'a, I, O> {
    gather: &'a Gather<I, O>,
    account: &'a str,
    taken: bool,
}

impl<I, O> Leading<'_, I, O> {
    fn take(mut self) -> Waiting<I, O> {
        self.taken = true;
        let mut waiting = self.gather.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut queue = waiting.remove(self.account).unwrap_or_default();
        let rest = queue.split_off(queue.len().min(self.gather.most));
        if !rest.is_empty() {
            waiting.insert(self.account.to_owned(), rest);
        }
        queue
    }
}

impl<I, O> Drop for Leading<'_, I, O> {
    fn drop(&mut self) {
        if !self.taken {
            self.gather.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_come_together_go_together_and_each_has_its_own_answer() {
        let gather = Gather::new(3);
        let sent = Mutex::new(Vec::new());
        let one = |number: u32| {
            let (gather, sent) = (&gather, &sent);
            async move {
                let send = |items: Vec<u32>| async move {
                    sent.lock().unwrap().push(items.len());
                    items.into_iter().map(|item| item * 10).collect()
                };
                gather.send("a", number, send).await
            }
        };
        let answers = futures_util::future::join_all((0..7).map(one)).await;
        assert_eq!(answers, (0..7).map(|number| Some(number * 10)).collect::<Vec<_>>());
        assert_eq!(*sent.lock().unwrap(), [3, 3, 1]);
        assert_eq!(one(9).await, Some(90), "who comes later goes alone");
    }

    #[tokio::test]
    async fn when_the_sender_is_given_up_the_others_hear_of_it() {
        let gather = Gather::<u32, u32>::new(10);
        let hang = |_: Vec<u32>| std::future::pending();
        let first = tokio::time::timeout(LINGER * 5, gather.send("a", 1, hang));
        let second = gather.send("a", 2, hang);
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_err());
        assert_eq!(second, None);
        // Before it has sent, too; and the next one does not wait for it.
        let first = tokio::time::timeout(LINGER / 2, gather.send("a", 1, hang));
        let (first, second) = tokio::join!(first, gather.send("a", 2, hang));
        assert!(first.is_err());
        assert_eq!(second, None);
        assert_eq!(gather.send("a", 3, |items| async move { items }).await, Some(3));
    }
}
