//! Echo requests under way: a bounded number, because each holds a socket of the kernel's.

use std::collections::VecDeque;
use tokio::task::AbortHandle;

/// Most echo requests whose answers are waited for at once.
pub(super) const MOST: usize = 256;

/// Those under way, the oldest first. Of too many, the oldest is given up: its answer is the least likely to come.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    waiting: VecDeque<AbortHandle>,
    given_up: u64,
}

impl Echoes {
    /// Starts one. When an older one had to make room for it, how many have had to so far.
    pub(super) fn start(&mut self, echo: impl Future<Output = ()> + Send + 'static) -> Option<u64> {
        if self.waiting.len() >= MOST {
            self.waiting.retain(|echo| !echo.is_finished());
        }
        let oldest = if self.waiting.len() >= MOST { self.waiting.pop_front() } else { None };
        self.waiting.push_back(tokio::spawn(echo).abort_handle());
        oldest.map(|oldest| {
            oldest.abort();
            self.given_up += 1;
            self.given_up
        })
    }
}

impl Drop for Echoes {
    fn drop(&mut self) {
        self.waiting.iter().for_each(AbortHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::sync::{Arc, Mutex};

    /// Writes its number down when it is given up or has ended.
    struct Last(usize, Arc<Mutex<Vec<usize>>>);

    impl Drop for Last {
        fn drop(&mut self) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    async fn settled() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn of_too_many_the_oldest_are_given_up() {
        let gone = Arc::new(Mutex::new(Vec::new()));
        let forever = |number| {
            let last = Last(number, Arc::clone(&gone));
            async move {
                let _last = last;
                pending().await
            }
        };
        let mut echoes = Echoes::default();
        for number in 0..MOST {
            assert_eq!(echoes.start(forever(number)), None);
        }
        settled().await;
        assert!(gone.lock().unwrap().is_empty());
        for more in 0..3 {
            assert_eq!(echoes.start(forever(MOST + more)), Some(more as u64 + 1));
        }
        settled().await;
        assert_eq!(*gone.lock().unwrap(), [0, 1, 2]);
        assert_eq!(echoes.waiting.len(), MOST);
        drop(echoes);
        settled().await;
        assert_eq!(gone.lock().unwrap().len(), MOST + 3, "none outlives it");
    }

    #[tokio::test]
    async fn those_that_have_ended_leave_their_place() {
        let mut echoes = Echoes::default();
        for _ in 0..4 {
            for _ in 0..MOST {
                assert_eq!(echoes.start(async {}), None);
            }
            settled().await;
        }
        assert!(echoes.waiting.len() <= MOST);
    }
}
