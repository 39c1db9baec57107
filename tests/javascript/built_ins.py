"""Single steps of the engine that take minutes: it looks at its time only between them."""

LONG_STEPS = {
    "join": 'new Array(4294967295).join("")',
    "sort": "new Array(4294967295).sort()",
    "reverse": "new Array(4294967295).reverse()",
    "splice": "Array.prototype.splice.call({length: 1e15}, 0, 1)",
    "indexOf": '"a".repeat(4e6).indexOf("a".repeat(2e6) + "b")',
}
