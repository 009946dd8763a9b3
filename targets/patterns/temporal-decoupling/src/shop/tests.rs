use super::*;
use crate::machine::tests::{RULES, event};

fn sku() -> Id {
    "p1".parse().unwrap()
}

fn of(id: &str, at: u64, what: What) -> Event {
    Event { what, ..event(id, "s1", at) }
}

fn promotion(id: &str, percent: u8, from: u64, until: u64) -> Event {
    of(id, from, What::Promotion { sku: sku(), percent, from, until })
}

fn order(at: u64) -> Event {
    of("o", at, What::Order { sku: sku(), quantity: 3, price: 111 })
}

fn stocked(delta: i64) -> Shop {
    let mut shop = Shop::default();
    assert_eq!(shop.take(&of("k", 0, What::Stock { sku: sku(), delta }), &RULES), Outcome::APPLIED);
    shop
}

/// The price of three pieces at this moment, and the promotion.
fn price(shop: &Shop, at: u64, bug: Option<Bug>) -> (u64, Option<String>) {
    let outcome = shop.clone().take(&order(at), &Rules { bug, ..RULES });
    (outcome.price.unwrap(), outcome.promotion.map(Into::into))
}

#[test]
fn an_order_costs_what_the_promotion_in_force_says() {
    let mut shop = stocked(3);
    for event in [promotion("m1", 10, 10, 20), promotion("m2", 30, 15, 20), promotion("m3", 30, 15, 30)] {
        shop.take(&event, &RULES);
    }
    let by = |name: &str| Some(name.to_owned());
    let cases = [
        (9, (333, None)),
        (10, (299, by("m1"))),
        (15, (233, by("m2"))),
        (20, (233, by("m3"))),
        (30, (333, None)),
    ];
    for (at, expected) in cases {
        assert_eq!(price(&shop, at, None), expected, "at {at}");
    }
    assert_eq!(price(&shop, 30, Some(Bug::PromotionAtItsEnd)), (233, by("m3")));
}

#[test]
fn stock_is_never_negative() {
    let mut shop = stocked(5);
    assert_eq!(shop.take(&order(1), &RULES).status, crate::event::Status::Confirmed);
    assert_eq!(shop.take(&order(2), &RULES), Outcome::rejected(Reason::SoldOut));
    let out = of("k2", 3, What::Stock { sku: sku(), delta: -3 });
    assert_eq!(shop.take(&out, &RULES), Outcome::rejected(Reason::SoldOut));
    assert_eq!(shop.level(&sku()), 2);
    shop.take(&order(4), &Rules { bug: Some(Bug::Oversell), ..RULES });
    assert_eq!(shop.level(&sku()), -1, "that is the defect");
}
