//! What a day usually costs, and whether today costs much more: the same rule for a tenant and for all of them.

/// Days that make the baseline of a day.
pub const DAYS: i64 = 7;
/// Days that must have been seen before a baseline says anything.
const DAYS_MIN: i64 = 3;
/// What a day may cost without anybody being told, in millionths: below it a share of the baseline is noise.
const ALERT_MICROS_MIN: i64 = 1_000_000;

/// What a day has usually cost, in millionths, if `today` has cost half as much again. `days` are days since 1970 with what
/// each has cost, others than the last week's left out of account; `first_day` is the first on which anything was spent.
pub fn exceeded(
    (today, micros): (i64, i64),
    first_day: i64,
    days: impl Iterator<Item = (i64, i64)>,
) -> Option<i64> {
    let seen_days = (today - first_day).min(DAYS);
    if seen_days < DAYS_MIN || micros < ALERT_MICROS_MIN {
        return None;
    }
    let before = days.filter(|(day, _)| (today - DAYS..today).contains(day));
    let usual = before.fold(0_i64, |sum, (_, micros)| sum.saturating_add(micros)) / seen_days;
    (micros > usual.saturating_add(usual / 2)).then_some(usual)
}
