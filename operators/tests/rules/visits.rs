//! Visits agreed, put off and turned down.

use super::*;

#[test]
fn a_visit_is_set_only_when_both_sides_agree() {
    let rows = [
        ("a: Can we come out Tuesday at ten? / c: Yes.", true),
        ("a: Does Thursday at 2 work? / c: That works.", true),
        ("a: I have Friday at 9 or Monday at 1. / c: Monday at one.", true),
        ("a: I have Friday at 9 or Monday at 1. / c: The Monday one is better.", true),
        ("a: When's good? / c: Wednesday after four. / a: Wednesday at 4:30 then, you're all set.", true),
        ("a: When can we stop by? / c: Could you do Saturday morning? / a: Sure, Saturday at ten.", true),
        ("c: Can someone come tomorrow at noon? / a: Yes, we'll see you then.", true),
        (
            "a: How about Monday? / c: Monday's no good. How about Tuesday at three? / a: Tuesday at three it is.",
            true,
        ),
        ("a: We can be there within the hour. / c: Great, thank you.", true),
        ("a: I'll send a tech out this afternoon. / c: Perfect.", true),
        (
            "a: Could our designer come by next Wednesday at five? / c: Let me check my calendar and call you back.",
            false,
        ),
        ("a: Would you like to schedule a visit? / c: Not yet.", false),
        ("a: Would you like an estimate? / c: Sure, send me an email.", false),
        ("a: Can we come out Tuesday at ten? / c: I'll have to ask my wife.", false),
        ("a: Can we come out Tuesday at ten? / c: No, I'm out of town.", false),
        ("a: I can do Friday at 3. / c: Maybe, I'll let you know.", false),
        ("a: What time works? / c: I'm usually home after five.", false),
        ("a: Can I have the manager call you tomorrow at ten? / c: Yes, that's fine.", false),
        (
            "a: Tuesday at ten? / c: Okay. / a: Great. / c: Actually, let me think about it, I'll call you back.",
            false,
        ),
        ("a: We're open until five. / c: Okay, thanks.", false),
        ("a: Could our estimator stop by? / c: Yes. Weekday mornings are best.", false),
        ("a: Usually between nine and fourteen thousand. / c: Ouch. Okay.", false),
        ("a: When works? / c: Friday. / a: Morning or afternoon? / c: Morning. / a: Nine? / c: OK.", true),
        ("a: Friday at 2? / c: I'm working Friday. Call me next week.", false),
        ("a: Good morning, how are you today? / c: Good, thanks.", false),
        ("a: ¿Le queda bien el jueves a las dos? / c: Sí, perfecto.", true),
        ("a: ¿Puede el sábado? / c: No, yo le aviso.", false),
        ("a: Mañana a las nueve. / c: Está bien, aquí lo espero.", true),
        ("a: how bout tues at 3 / c: yep", true),
        ("a: does the 15th at 10 am work / c: yes it does", true),
    ];
    check(&rows, |script| {
        call(&format!("a: Buckeye. / c: I want to redo the kitchen in Dublin. / {script}")).appointment_set
    });
}

#[test]
fn a_visit_that_is_put_off_or_turned_down_is_not_set() {
    let rows = [
        "I'll think about it.",
        "Let me talk it over with my wife.",
        "I'd rather get a quote by email first.",
        "Can I call you back?",
        "Not right now.",
        "Let me see what my schedule looks like.",
        "I need to check with my boss first.",
        "We're not quite ready for that.",
        "No thanks, just wanted a price.",
        "I'm going to get a couple more quotes first.",
        "Maybe later.",
        "I'll have to get back to you.",
        "I don't think so.",
        "That doesn't work for me.",
        "I can't do that day.",
        "Hmm, I'm not sure.",
        "Let me sleep on it.",
        "We'd have to see.",
        "I'm at work then.",
        "No, that's too soon.",
        "Tengo que hablar con mi esposo primero.",
        "Yo le llamo después.",
        "Déjeme ver y le aviso.",
        "i gotta ask my wife",
        "ill let u know",
        "Could you just text me a price?",
        "My husband has to be there and he's traveling.",
        "Neither of those work.",
        "I'd need to look at the calendar.",
    ];
    let failed: Vec<&str> = rows
        .into_iter()
        .filter(|words| call(&format!("a: Buckeye. / c: I want to redo the kitchen in Dublin. / a: Can we come out Tuesday at ten? / c: {words}")).appointment_set)
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn a_visit_that_is_taken_in_other_words_is_set() {
    let rows = [
        "Yes.",
        "Sure.",
        "That works for me.",
        "Tuesday at ten is good.",
        "Perfect.",
        "Sounds good.",
        "Okay, see you then.",
        "Ten's fine.",
        "Yeah that'd be great.",
        "I can do that.",
        "Let's do it.",
        "Works.",
        "Great, put me down.",
        "Yep, I'll be home.",
        "Absolutely.",
        "Fine by me.",
        "I'm free then, yes.",
        "Sí.",
        "Sí, está bien.",
        "Perfecto, aquí los espero.",
        "yea thats fine",
        "ok cool",
        "Tuesday at ten, yes ma'am.",
        "Sure thing, my wife will be here too.",
        "That should be okay.",
        "Wonderful, thank you.",
        "We'll be here.",
        "Let's go with that.",
        "You bet.",
        "Mm-hm, that's okay.",
        "Great.",
        "Sure, why not.",
    ];
    let failed: Vec<&str> = rows
        .into_iter()
        .filter(|words| !call(&format!("a: Buckeye. / c: I want to redo the kitchen in Dublin. / a: Can we come out Tuesday at ten? / c: {words}")).appointment_set)
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
