//! How many rows a commit gets: as many as it takes in good time.

use std::time::Duration;

use super::limits::{COMMIT_FAST, COMMIT_SLOW, ROWS_MAX, ROWS_MIN};

/// Rows of the next commit, steered by how long the last ones took: a fifth more while they are fast, half when they
/// are slow.
#[derive(Debug)]
pub(super) struct Steering {
    rows: usize,
}

impl Steering {
    pub(super) fn new() -> Self {
        Self { rows: 5 * ROWS_MIN }
    }

    pub(super) fn rows_max(&self) -> usize {
        self.rows
    }

    /// Notes a commit of so many rows.
    pub(super) fn took(&mut self, rows: usize, time: Duration) {
        if time > COMMIT_SLOW {
            self.rows = (self.rows / 2).max(ROWS_MIN);
        } else if time < COMMIT_FAST && rows >= self.rows {
            self.rows = (self.rows + self.rows / 5 + 1).min(ROWS_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_commits_grow_to_the_limit_slow_ones_shrink_and_short_ones_change_nothing() {
        let mut steering = Steering::new();
        for _ in 0..20 {
            steering.took(steering.rows_max(), Duration::from_millis(10));
        }
        assert_eq!(steering.rows_max(), ROWS_MAX);
        steering.took(ROWS_MAX, Duration::from_millis(900));
        assert_eq!(steering.rows_max(), ROWS_MAX / 2);
        steering.took(1, Duration::from_millis(1));
        steering.took(ROWS_MAX, Duration::from_millis(200));
        assert_eq!(steering.rows_max(), ROWS_MAX / 2, "few rows say nothing of many, and 200 ms are neither");
        for _ in 0..20 {
            steering.took(ROWS_MIN, Duration::from_secs(2));
        }
        assert_eq!(steering.rows_max(), ROWS_MIN);
    }
}
