//! How scores do: against what the company says became of its leads, and against those of another prompt or service.

pub mod asker;
pub mod calibration;
pub mod trial;
