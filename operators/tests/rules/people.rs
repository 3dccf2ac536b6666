//! Who decides.

use super::*;

#[test]
fn who_decides_is_told_from_what_is_said() {
    let sole = Some("sole");
    let both = Some("both_present");
    let absent = Some("spouse_absent");
    let rents = Some("renter_landlord");
    let ask = "a: Is anyone else involved in the decision?";
    let rows = [
        ("c: No, just me.", sole),
        ("c: Nope.", sole),
        ("c: It's only me, I'm divorced.", sole),
        ("c: I'm the only owner.", sole),
        ("c: My husband passed so it's my decision.", sole),
        ("c: I make the decisions around here.", sole),
        ("c: My wife, but she's fine with whatever I pick.", sole),
        ("c: My husband and I, he's right here with me.", both),
        ("c: My wife, she's on the line.", both),
        ("c: We'll both be there.", both),
        ("c: My wife and I both decide, and she's listening in.", both),
        ("c: Yes, my husband, he will be home too.", both),
        ("c: I'd have to talk to my husband.", absent),
        ("c: My wife, she's at work.", absent),
        ("c: I need to run it by my wife first.", absent),
        ("c: My husband has to see it before we do anything.", absent),
        ("c: My wife handles all that.", absent),
        ("c: I'll have to check with him.", absent),
        ("c: My husband, he's out of town until Friday.", absent),
        ("c: My landlord would have to approve it, I rent.", rents),
        ("c: I'm renting, so the owner.", rents),
        ("c: My brother, I'd have to loop him in.", absent),
        ("c: Does my husband need to be here?", None),
        ("c: Hm?", None),
        ("c: Tengo que hablar con mi esposo.", absent),
        ("c: Mi esposa y yo, los dos vamos a estar.", both),
        ("c: No, yo decido.", sole),
        ("c: Estoy rentando.", rents),
    ];
    check(&rows, |words| {
        let output = call(&format!("a: Buckeye. / c: I want to redo the kitchen. / {ask} / {words}"));
        output.decision_maker.map(|maker| maker.as_str())
    });
}
