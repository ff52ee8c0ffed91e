// SPDX-License-Identifier: BSD-2-Clause
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Loop SIZE: compiled loops, virtual calls, collections and garbage. */
public class Loop {
	interface Shape {
		double area();
	}

	record Square(int a) implements Shape {
		public double area() {
			return (double) a * a;
		}
	}

	record Stripe(int a) implements Shape {
		public double area() {
			return a;
		}
	}

	static int integers(int n) {
		int x = 1;
		for (int i = 0; i < n * 100; i++)
			x = x * 1664525 + 1013904223 + (x >>> 7);
		return x;
	}

	static double shapes(int n) {
		List<Shape> all = new ArrayList<>();
		double sum = 0;
		for (int i = 0; i < 200; i++)
			all.add(i % 3 == 0 ? new Square(i) : new Stripe(i));
		for (int i = 0; i < n * 4; i++)
			sum += all.get(i % all.size()).area();
		return sum;
	}

	static long maps(int n) {
		Map<String, Integer> count = new HashMap<>();
		long sum = 0;
		for (int i = 0; i < n; i++)
			count.merge("key " + (long) i * 7919 % 10007, i % 13, Integer::sum);
		for (Map.Entry<String, Integer> entry : count.entrySet())
			sum += (long) entry.getKey().hashCode() * entry.getValue();
		return sum;
	}

	static double matrix(int n) {
		double[][] a = new double[n][n], c = new double[n][n];
		for (int i = 0; i < n * n; i++)
			a[i / n][i % n] = i % 7 + 0.5;
		for (int i = 0; i < n; i++)
			for (int k = 0; k < n; k++)
				for (int j = 0; j < n; j++)
					c[i][j] += a[i][k] * a[k][j];
		return c[1][n - 1];
	}

	public static void main(String[] args) {
		int n = Integer.parseInt(args[0]);
		System.out.println(integers(n) + " " + shapes(n) + " " + maps(n) + " " + matrix(200));
	}
}
