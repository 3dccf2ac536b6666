//! When, and how pressing.

use super::*;

#[test]
fn an_answer_to_when_is_put_into_its_span() {
    let now = Some("now_0_30d");
    let soon = Some("1_3mo");
    let later = Some("3_6mo");
    let far = Some("6mo_plus");
    let looking = Some("researching");
    let rows = [
        ("As soon as possible.", now),
        ("asap", now),
        ("Right away if you can.", now),
        ("in a couple weeks", now),
        ("within the next two weeks", now),
        ("Three weeks.", now),
        ("by the end of the month", now),
        ("this month", now),
        ("next week would be great", now),
        ("Yesterday.", now),
        ("As soon as possible, the wedding is in six weeks.", now),
        ("We're listing the house next month, so yesterday.", now),
        ("The sooner the better.", now),
        ("whenever you can get here", now),
        ("we're ready to go", now),
        ("the first of next month", now),
        ("next month", soon),
        ("in about six weeks", soon),
        ("couple of months", soon),
        ("In two or three months", soon),
        ("sometime in the next 60 days", soon),
        ("eight to ten weeks out", soon),
        ("a month or two", soon),
        ("after the holidays", soon),
        ("four months from now", later),
        ("four or five months", later),
        ("in about half a year", later),
        ("not for another five months", later),
        ("3-6 months", later),
        ("next year", far),
        ("maybe next spring", far),
        ("not until 2028", far),
        ("in a year or so", far),
        ("we're two years out", far),
        ("eventually, down the road", far),
        ("eight months or so", far),
        ("not this year", far),
        ("I'm just looking around", looking),
        ("we're only getting ideas right now", looking),
        ("no timeline, just curious", looking),
        ("I don't know.", None),
        ("It's been like that for three years.", None),
        ("The roof is twenty years old.", None),
        ("it's April now so by September", later),
        ("lo antes posible", now),
        ("en dos semanas", now),
        ("el próximo mes", soon),
        ("en unos dos o tres meses", soon),
        ("el próximo año", far),
        ("nomás estoy preguntando", looking),
        ("en cuatro meses", later),
    ];
    check(&rows, |words| {
        let output = call(&format!(
            "a: Buckeye. / c: I want to redo my kitchen. / a: When would you like to start? / c: {words}"
        ));
        output.timeline.map(|timeline| timeline.as_str())
    });
}

#[test]
fn emergencies_are_told_from_old_and_small_troubles() {
    let yes = Some("emergency");
    let rows = [
        ("My roof is leaking into the bedroom right now.", yes),
        ("Water is pouring through the ceiling.", yes),
        ("The furnace quit and we have no heat.", yes),
        ("Our AC went out last night and it's 100 degrees.", yes),
        ("A tree fell on the house.", yes),
        ("The basement flooded last night.", yes),
        ("A pipe burst in the kitchen.", yes),
        ("I smell gas by the furnace.", yes),
        ("Se metió el agua por el techo.", yes),
        ("We want to redo the kitchen.", None),
        ("The basement flooded two years ago, now we want to finish it.", None),
        ("The roof isn't leaking, it's just old.", None),
        ("We need a new furnace before this one dies.", None),
        ("My faucet drips a little.", None),
        ("There's no rush, the AC still works.", None),
    ];
    check(&rows, |words| {
        let urgency = call(&format!("a: Buckeye. / c: {words}")).urgency.map(|urgency| urgency.as_str());
        urgency.filter(|urgency| *urgency == "emergency")
    });
}
