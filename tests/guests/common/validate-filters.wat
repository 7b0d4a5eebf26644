;; All filters are welcome.
(func (export "resource-broker:plugin/accept-filter@0.2.0#validate") (param i32 i32) (result i32) (i32.const 1024))
