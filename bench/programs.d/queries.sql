-- SPDX-License-Identifier: BSD-2-Clause
CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER, b REAL, c TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ROWS)
INSERT INTO t SELECT i, i * 7919 % 1000003, i / 7.0, 'row ' || (i * 31 % 5003) FROM n;
COMMIT;
CREATE INDEX t_a ON t(a);
SELECT count(*), sum(a), round(avg(b), 3), max(c) FROM t;
SELECT count(*), sum(length(c)) FROM t WHERE a BETWEEN 1000 AND 50000;
SELECT c, count(*) AS n, sum(a) FROM t GROUP BY c ORDER BY n DESC, c LIMIT 10;
SELECT count(*) FROM t JOIN t AS u ON u.id = t.a WHERE t.id % 5 = 0;
UPDATE t SET b = b + a, c = upper(c) WHERE id % 10 = 3;
DELETE FROM t WHERE id % 17 = 0;
SELECT count(*), sum(a), round(sum(b), 1) FROM t WHERE c LIKE '%ROW 1%';
