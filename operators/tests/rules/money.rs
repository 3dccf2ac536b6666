//! Budgets and figures that are none.

use super::*;

pub type Range = (Option<u64>, Option<u64>);
pub const fn exactly(value: u64) -> Range {
    (Some(value), Some(value))
}
pub const fn between(low: u64, high: u64) -> Range {
    (Some(low), Some(high))
}
pub const fn at_most(value: u64) -> Range {
    (None, Some(value))
}
pub const fn at_least(value: u64) -> Range {
    (Some(value), None)
}
pub const NOTHING: Range = (None, None);

#[test]
fn an_answer_to_the_budget_question_is_read_as_said() {
    let rows = [
        ("Around sixty thousand.", exactly(60_000)),
        ("60k", exactly(60_000)),
        ("$45,000", exactly(45_000)),
        ("forty", exactly(40_000)),
        ("Probably about thirty, thirty five.", between(30_000, 35_000)),
        ("between 40 and 50 grand", between(40_000, 50_000)),
        ("between forty and fifty", between(40_000, 50_000)),
        ("12 to 15 thousand", between(12_000, 15_000)),
        ("fifty to sixty", between(50_000, 60_000)),
        ("$80-100k", between(80_000, 100_000)),
        ("a hundred, maybe a hundred and ten", between(100_000, 110_000)),
        ("one fifty to two hundred", between(150_000, 200_000)),
        ("under a hundred k", at_most(100_000)),
        ("no more than twenty five thousand", at_most(25_000)),
        ("I can't go over thirty", at_most(30_000)),
        ("we'd like to keep it under forty", at_most(40_000)),
        ("twenty max", at_most(20_000)),
        ("30 tops", at_most(30_000)),
        ("thirty thousand is our absolute limit", at_most(30_000)),
        ("up to 75", at_most(75_000)),
        ("at least fifty", at_least(50_000)),
        ("50k or more", at_least(50_000)),
        ("fifty no wait sixty", exactly(60_000)),
        ("Forty. Actually, make that fifty thousand.", exactly(50_000)),
        ("sixty, no sorry, seventy thousand", exactly(70_000)),
        ("a quarter million", exactly(250_000)),
        ("half a million", exactly(500_000)),
        ("one point two million", exactly(1_200_000)),
        ("fifteen hundred dollars", exactly(1_500)),
        ("twenty-five thousand five hundred", exactly(25_500)),
        ("eighteen five", exactly(18_500)),
        ("somewhere in the forties", between(40_000, 50_000)),
        ("low thirties, in the low thirties", between(30_000, 33_000)),
        ("five six grand", between(5_000, 6_000)),
        ("We've saved up about 35 for it.", exactly(35_000)),
        ("I was quoted thirty but that's too much, I was hoping for twenty.", exactly(20_000)),
        ("Another company said fifty two thousand. We want to spend forty.", exactly(40_000)),
        ("I have no idea.", NOTHING),
        ("I don't know, what do these usually run?", NOTHING),
        ("I'd rather not say.", NOTHING),
        ("I could do four hundred a month.", NOTHING),
        ("My deductible is twenty five hundred.", NOTHING),
        ("We'd have to see. We have three kids and two dogs.", NOTHING),
        ("My neighbor paid thirty for his.", NOTHING),
        ("Treinta mil.", exactly(30_000)),
        ("entre veinte y veinticinco mil dólares", between(20_000, 25_000)),
        ("no más de quince mil", at_most(15_000)),
        ("unos 18 mil", exactly(18_000)),
        ("como cuarenta mil, cuarenta y cinco", between(40_000, 45_000)),
        ("thirty thousand, but I'd need to finance it", exactly(30_000)),
        ("Twenty, twenty five grand.", between(20_000, 25_000)),
        ("we're thinking 60 but could stretch to 75", between(60_000, 75_000)),
        ("six figures, around one twenty", exactly(120_000)),
        ("It's just a bathroom so like eight to ten.", between(8_000, 10_000)),
        ("You know, the two of us figured forty-five thousand.", exactly(45_000)),
        ("15,000 - 20,000", between(15_000, 20_000)),
        ("twelve thousand to fourteen thousand", between(12_000, 14_000)),
        ("I've got a 401k, so whatever it takes", NOTHING),
    ];
    check(&rows, |words| {
        let output = call(&format!(
            "a: Buckeye Remodeling. / c: I want to redo my kitchen. / a: Do you have a budget in mind? / c: {words}"
        ));
        (output.budget_min, output.budget_max)
    });
}

#[test]
fn a_figure_that_is_no_budget_stays_out() {
    let rows = [
        ("a: What's the zip? / c: 43016", NOTHING),
        ("a: What's your address? / c: 4500 Oak Street, unit 200", NOTHING),
        ("a: Phone number? / c: 614 555 0142", NOTHING),
        ("a: How big is it? / c: About eighteen hundred square feet.", NOTHING),
        ("a: How big is it? / c: Twelve by fourteen.", NOTHING),
        ("a: They run about thirty thousand. / c: Okay.", NOTHING),
        ("a: They run about thirty thousand. / c: Thirty thousand? That's too much.", NOTHING),
        ("a: We have plans at 199 a month. / c: I could do 199 a month.", NOTHING),
        ("a: When was it built? / c: 1985", NOTHING),
        ("a: Anything else? / c: The bank approved a loan for eighty thousand.", NOTHING),
        ("a: Anything else? / c: We paid three hundred thousand for the house.", NOTHING),
        ("a: What about Tuesday? / c: Tuesday at five thirty.", NOTHING),
        ("a: How many windows? / c: Twenty, maybe twenty two windows.", NOTHING),
        ("a: What's the job number? / c: It's 20418.", NOTHING),
        ("a: How long have you been there? / c: Thirty five years.", NOTHING),
        ("a: Okay. / c: It's 95 degrees in the house.", NOTHING),
        ("a: How many windows? / c: All of them I guess, maybe sixteen.", NOTHING),
        ("a: And your name? / c: Walter Nakamura, N-A-K-A-M-U-R-A.", NOTHING),
        ("a: It came to fourteen six. / c: Okay, fourteen six is fine.", NOTHING),
        (
            "a: Okay. / c: The lot is half an acre and the house is 2,400 square feet with 3 bedrooms.",
            NOTHING,
        ),
    ];
    check(&rows, |script| {
        let output = call(&format!("a: Buckeye. / c: I'd like a new kitchen. / {script}"));
        (output.budget_min, output.budget_max)
    });
}
